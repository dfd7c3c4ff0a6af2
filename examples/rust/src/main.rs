fn greeting(name: &str) -> String {
    format!("hello, {name}")
}

fn main() {
    println!("{}", greeting("rust"));
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_greets_by_name() {
        assert_eq!(super::greeting("you"), "hello, you");
    }
}
