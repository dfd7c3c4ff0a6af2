"""python build.py WORLD [MODULE [OUT]] in a plugin's folder: makes the component with componentize-py and puts the manifest, and the
schemas if they are there, into it, so that the .wasm alone is complete."""

import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).resolve().parent.parent
SECTIONS = {
    "piper:manifest": "piper-plugin.toml",
    "piper:config-schema": "config.schema.json",
    "piper:options-schema": "options.schema.json",
}


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


def main(world: str, module: str = "plugin", out: str = "plugin.wasm") -> None:
    tool = Path(sys.executable).with_name("componentize-py")
    wit, shim = SDK / "wit" / "v0.1", SDK / "python"
    command = [tool, "-q", "-d", wit, "-w", world, "componentize", "-p", ".", "-p", shim, module, "-o", out]
    subprocess.run(command, check=True)
    with open(out, "ab") as component:
        for name, file in SECTIONS.items():
            if Path(file).exists():
                component.write(section(name, Path(file).read_bytes()))


if __name__ == "__main__":
    main(*sys.argv[1:])
