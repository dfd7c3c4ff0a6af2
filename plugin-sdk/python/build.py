"""python build.py WORLD [MODULE [OUT]] in a plugin's folder: makes the component with componentize-py and puts the manifest, and the
schemas if they are there, into it, so that the .wasm alone is complete: config.schema.json is that of the configuration,
options.schema.json that of a step's `with`, for all types of the world's kind."""

import json
import re
import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).resolve().parent.parent
SECTIONS = {
    "piper:manifest": "piper-plugin.toml",
    "piper:config-schema": "config.schema.json",
}
OPTIONS = "options.schema.json"


def size(number: int) -> bytes:
    """A number as WebAssembly writes it: LEB128."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append((number & 0x7F) | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def section(name: str, content: bytes) -> bytes:
    """A custom section: id 0, its size, then its name and content."""
    named = size(len(name)) + name.encode() + content
    return b"\0" + size(len(named)) + named


def by_kind(world: str, schema: bytes) -> bytes:
    """The options' schema, under its kind and under no name: hosts look for a type's own name first."""
    kind = re.search(r"([a-z-]+)-plugin(@|$)", world).group(1)
    return json.dumps({kind: {"": json.loads(schema)}}).encode()


def sections(world: str) -> bytes:
    """The manifest and the schemas."""
    files = ((name, Path(file)) for name, file in SECTIONS.items())
    found = b"".join(section(name, file.read_bytes()) for name, file in files if file.exists())
    if Path(OPTIONS).exists():
        found += section("piper:options-schema", by_kind(world, Path(OPTIONS).read_bytes()))
    return found


def main(world: str, module: str = "plugin", out: str = "plugin.wasm") -> None:
    # Before anything that takes long: a schema that is no JSON is found here.
    known = sections(world)
    tool = Path(sys.executable).with_name("componentize-py")
    wit, shim = SDK / "wit" / "v0.1", SDK / "python"
    command = [tool, "-q", "-d", wit, "-w", world, "componentize", "-p", ".", "-p", shim, module, "-o", out]
    subprocess.run(command, check=True)
    with open(out, "ab") as component:
        component.write(known)


if __name__ == "__main__":
    main(*sys.argv[1:])
