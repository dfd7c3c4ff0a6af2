use super::Greet;
use piper_plugin::{prelude::*, testing::Fake};

#[test]
fn greets_the_world_unless_told_otherwise() {
    let fake = Fake::new();
    let verdict = fake.run::<Greet, _>(json!({})).unwrap();
    assert_eq!(verdict.status, Status::Passed);
    assert_eq!(fake.stdout(), "hello, world\n");
    assert_eq!(fake.output("greeted").as_deref(), Some("world"));
}
