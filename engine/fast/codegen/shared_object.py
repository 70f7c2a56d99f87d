"""An object file of LLVM -> a shared object that the system's loader maps, for Linux.

Why not leave the code in memory: a process may be forbidden to make memory executable, but not to
map a file that is; processes share its pages; and profilers find its functions. Why not a linker:
users need none. The object is simple: it needs nothing from outside, all its sections are read-only
or code, and its references are relative. So linking is to lay sections out, to resolve those
references, and to name the functions. What is not so simple is refused.

The format: Tool Interface Standard, Executable and Linking Format 1.2; the processors' supplements.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

PAGE = 1 << 16  # the largest of any Linux
HEADER, SECTION, PROGRAM, SYMBOL, RELOCATION = (
    struct.Struct(f"<{fields}")
    for fields in ("16sHHIQQQIHHHHHH", "IIQQQQIIQQ", "IIQQQQQQ", "IBBHQQ", "QQq")
)
LOAD, DYNAMIC, STACK = 1, 2, 0x6474E551  # kinds of program headers
CODE, DATA = 5, 6  # readable and executable; readable and writable
# kinds of sections
PROGBITS, SYMTAB, STRTAB, RELA, HASH, DYNSYM = 1, 2, 3, 4, 5, 11
ALLOCATED, FUNCTION, GLOBAL = 2, 2, 1 << 4
SHARED = 3  # kind of file
# entries of the dynamic section
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT = 4, 5, 6, 10, 11
UNWINDING = ".eh_frame"  # nothing is thrown

Patch = Callable[[int, int, int], int]  # the word that is there, what it points to, its place


class Section(NamedTuple):
    name: str
    kind: int
    flags: int
    content: bytes
    link: int
    info: int
    align: int


class Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int
    size: int


def signed(number: int, bits: int) -> int:
    """The low bits of a number that they can hold."""
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise ValueError(f"{number} does not fit {bits} bits; the code is too large to link")
    return number & (1 << bits) - 1


def relative(word: int, target: int, place: int) -> int:
    return signed(target - place, 32)


def branch(word: int, target: int, place: int) -> int:
    """b and bl: 26 bits, in instructions of 4 bytes."""
    return word & 0xFC00_0000 | signed(divided(target - place, 4), 26)


def page(word: int, target: int, place: int) -> int:
    """adrp: 21 bits, in pages of 4,096 bytes; the low two of them stand apart."""
    pages = signed((target >> 12) - (place >> 12), 21)
    return word & 0x9F00_001F | (pages & 3) << 29 | (pages >> 2) << 5


def low_bits(size: int) -> Patch:
    """add and ldr: the place within its page, in units of the `size` bytes that are loaded."""

    def patch(word: int, target: int, place: int) -> int:
        return word & ~(0xFFF << 10) | divided(target & 0xFFF, size) << 10

    return patch


def divided(number: int, size: int) -> int:
    if number % size:
        raise ValueError(f"{number} does not fit units of {size} bytes")
    return number // size


# Machine -> the kinds of its relocations. All patch words of 32 bits.
PATCHES: dict[int, dict[int, Patch]] = {
    62: {2: relative, 4: relative},  # x86-64: PC32, PLT32
    183: {  # arm64: PREL32, ADR_PREL_PG_HI21, ADD_ABS_LO12_NC, JUMP26, CALL26, LDST*_ABS_LO12_NC
        261: relative, 275: page, 277: low_bits(1), 282: branch, 283: branch,
        278: low_bits(1), 284: low_bits(2), 285: low_bits(4), 286: low_bits(8), 299: low_bits(16),
    },
}  # fmt: skip


class Image:
    """A file as it grows; what is mapped lies at the address of its offset."""

    def __init__(self) -> None:
        self.content = bytearray(HEADER.size + 4 * PROGRAM.size)

    def add(self, content: bytes, align: int = 16) -> int:
        """Where it lies."""
        self.content += bytes(-len(self.content) % align)
        self.content += content
        return len(self.content) - len(content)


def link(code: bytes) -> bytes:
    """A shared object of the allocated sections of an object file, with all its functions named.

    ValueError for an object that needs more than this file can do.
    """
    machine, sections = read_sections(code)
    symbols = list(read_symbols(sections))
    functions = [one for one in symbols if one.kind & 15 == FUNCTION]
    image = Image()
    # The loader's tables. Addresses are not known yet, but sizes are.
    count = len(functions) + 1
    names = b"\0" + b"".join(one.name.encode() + b"\0" for one in functions)
    table = image.add(bytes(SYMBOL.size * count))
    strings = image.add(names)
    # One bucket, in which every symbol leads to the next, and the last to 0.
    chain = [0, *range(2, count), 0][:count]
    hashes = image.add(struct.pack(f"<{count + 3}I", 1, count, min(1, count - 1), *chain))
    places = {
        number: image.add(section.content, max(section.align, 16))
        for number, section in enumerate(sections)
        if section.flags & ALLOCATED and section.name != UNWINDING
    }
    relocate(image.content, machine, sections, symbols, places)
    name_at = 1
    for n, one in enumerate(functions, start=1):
        at = table + n * SYMBOL.size
        address = places[one.section] + one.value
        SYMBOL.pack_into(image.content, at, name_at, GLOBAL | FUNCTION, 0, 1, address, one.size)
        name_at += len(one.name.encode()) + 1
    facts = {DT_HASH: hashes, DT_STRTAB: strings, DT_SYMTAB: table, DT_STRSZ: len(names),
             DT_SYMENT: SYMBOL.size, 0: 0}  # fmt: skip
    finish(image, machine, facts, count, len(names))
    return bytes(image.content)


def relocate(
    image: bytearray,
    machine: int,
    sections: list[Section],
    symbols: list[Symbol],
    places: dict[int, int],
) -> None:
    """Resolves the references of the sections that have places."""
    for table in (one for one in sections if one.kind == RELA and one.info in places):
        for offset, info, addend in RELOCATION.iter_unpack(table.content):
            patch, symbol = PATCHES[machine].get(info & 0xFFFF_FFFF), symbols[info >> 32]
            if patch is None or symbol.section not in places:
                raise ValueError(
                    f"relocation {info & 0xFFFF_FFFF} to {symbol.name!r} is not among those that "
                    "shared_object.link resolves"
                )
            place = places[table.info] + offset
            (word,) = struct.unpack_from("<I", image, place)
            target = places[symbol.section] + symbol.value + addend
            struct.pack_into("<I", image, place, patch(word, target, place))


def finish(image: Image, machine: int, facts: dict[int, int], symbols: int, names: int) -> None:
    """Adds the dynamic section, which the loader writes to, section headers, and the header."""
    code_end = len(image.content)
    dynamic = b"".join(struct.pack("<qQ", *fact) for fact in facts.items())
    at = image.add(dynamic)
    table, strings, hashes = facts[DT_SYMTAB], facts[DT_STRTAB], facts[DT_HASH]
    # Debuggers and profilers read these; the loader does not.
    headers = [
        ("", 0, 0, 0, 0, 0, 0, 0),
        (".text", PROGBITS, 6, 0, code_end, 0, 0, 0),
        (".dynsym", DYNSYM, 2, table, symbols * SYMBOL.size, 3, 1, SYMBOL.size),
        (".dynstr", STRTAB, 2, strings, names, 0, 0, 0),
        (".hash", HASH, 2, hashes, 4 * (symbols + 3), 2, 0, 4),
    ]
    titles = b"".join(header[0].encode() + b"\0" for header in headers) + b".shstrtab\0"
    titles_at = image.add(titles)
    headers.append((".shstrtab", STRTAB, 0, titles_at, len(titles), 0, 0, 0))
    sections, title = image.add(b""), 0
    for name, kind, flags, offset, size, link, info, entry in headers:
        address = offset if flags else 0
        image.add(SECTION.pack(title, kind, flags, address, offset, size, link, info, 1, entry), 1)
        title += len(name) + 1
    programs = (
        (LOAD, CODE, 0, 0, 0, code_end, code_end, PAGE),
        # a page of its own: what is written must not be executable
        (LOAD, DATA, at, at + PAGE, at + PAGE, len(dynamic), len(dynamic), PAGE),
        (DYNAMIC, DATA, at, at + PAGE, at + PAGE, len(dynamic), len(dynamic), 8),
        (STACK, DATA, 0, 0, 0, 0, 0, 16),
    )
    ident = b"\x7fELF\x02\x01\x01"
    HEADER.pack_into(image.content, 0, ident, SHARED, machine, 1, 0, HEADER.size, sections, 0,
                     HEADER.size, PROGRAM.size, len(programs), SECTION.size, len(headers),
                     len(headers) - 1)  # fmt: skip
    for n, program in enumerate(programs):
        PROGRAM.pack_into(image.content, HEADER.size + n * PROGRAM.size, *program)


def read_sections(code: bytes) -> tuple[int, list[Section]]:
    """The machine and the sections of an object file."""
    header = HEADER.unpack_from(code.ljust(HEADER.size, b"\0"))
    ident, _, machine, _, _, _, start, *_, count, names = header
    if ident[:6] != b"\x7fELF\x02\x01" or machine not in PATCHES:
        raise ValueError(f"not an object file of 64 bits for a known machine: {code[:20]!r}")
    headers = [SECTION.unpack_from(code, start + n * SECTION.size) for n in range(count)]
    titles = headers[names][4]
    return machine, [
        Section(text_at(code, titles + name), kind, flags, code[at : at + size], link, info, align)
        for name, kind, flags, _, at, size, link, info, align, _ in headers
    ]


def read_symbols(sections: list[Section]) -> Iterator[Symbol]:
    (table,) = (one for one in sections if one.kind == SYMTAB)
    strings = sections[table.link].content
    for name, kind, _, section, value, size in SYMBOL.iter_unpack(table.content):
        yield Symbol(text_at(strings, name), kind, section, value, size)


def text_at(content: bytes, start: int) -> str:
    return content[start : content.index(b"\0", start)].decode()
