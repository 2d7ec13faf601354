"""Writes the properties of code points that tokenizers/unicode needs (the tables named *.inc here), taken from this Python's own Unicode
data, except for the categories, which come from the package unicodedata2 in the version of the regular expressions of `tokenizers` (16).

    python3 make_tables.py classes > tables.inc
    python3 make_tables.py normal_forms > normal_forms.inc
    python3 make_tables.py categories > categories.inc
"""

import sys
import unicodedata

CODE_POINTS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def is_cased(c: str) -> bool:  # and not case-ignorable
    return (c + "\u03a3").lower().endswith("\u03c2")


def is_case_ignorable(c: str) -> bool:
    return ("A" + c + "\u03a3").lower().endswith("\u03c2") and not is_cased(c)


def is_word(c: str) -> bool:  # \w of Unicode regular expressions (UTS 18, annex C)
    other_alphabetic = 0x24B6 <= ord(c) <= 0x24E9 or any(a <= ord(c) <= b for a, b in ((0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189)))
    category = unicodedata.category(c)
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc") or other_alphabetic or c in "\u200c\u200d"


def ranges(holds) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for c in CODE_POINTS:
        if holds(c):
            if result and result[-1][1] == ord(c) - 1:
                result[-1] = (result[-1][0], ord(c))
            else:
                result.append((ord(c), ord(c)))
    return result


def lower_rows() -> list[tuple[int, int, int, int]]:
    """(first, last, step, difference) of runs of code points whose lower case is one other code point."""
    rows: list[list[int]] = []
    for c in CODE_POINTS:
        low = c.lower()
        if low == c or len(low) != 1:
            continue
        point, difference = ord(c), ord(low) - ord(c)
        if rows and rows[-1][3] == difference and point - rows[-1][1] in (1, 2) and rows[-1][2] in (0, point - rows[-1][1]):
            rows[-1][2] = point - rows[-1][1]
            rows[-1][1] = point
        else:
            rows.append([point, point, 0, difference])
    return [(a, b, max(step, 1), d) for a, b, step, d in rows]


def show(name: str, kind: str, rows: list[tuple[int, ...]]) -> None:
    print(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        cell = " {" + ", ".join(str(v) if i > 1 and v < 0x300 else f"0x{v:x}" for i, v in enumerate(row)) + "},"
        if len(line) + len(cell) > 140:
            print(line)
            line = "   "
        line += cell
    print(line + "\n};")


def print_classes() -> None:
    special = [c for c in CODE_POINTS if len(c.lower()) != 1]
    assert special == ["\u0130"], special  # written out in case.cpp
    print(f"// Made by make_tables.py from Unicode {unicodedata.unidata_version}. Do not edit.")
    show("kLower", "LowerRow", lower_rows())
    show("kCased", "Range", ranges(is_cased))
    show("kCaseIgnorable", "Range", ranges(is_case_ignorable))
    show("kWord", "Range", ranges(is_word))


def print_normal_forms() -> None:
    classes: list[list[int]] = []
    for c in CODE_POINTS:
        value = unicodedata.combining(c)
        if value and classes and classes[-1][1:] == [ord(c) - 1, value]:
            classes[-1][1] = ord(c)
        elif value:
            classes.append([ord(c), ord(c), value])
    pairs = []
    for c in CODE_POINTS:
        parts = unicodedata.decomposition(c).split()
        if parts and not parts[0].startswith("<"):
            first, second = int(parts[0], 16), int(parts[1], 16) if len(parts) > 1 else 0
            pairs.append((ord(c), first, second, int(second != 0 and unicodedata.normalize("NFC", c) == c)))
    print(f"// Made by make_tables.py from Unicode {unicodedata.unidata_version}. Do not edit.")
    show("kClasses", "ClassRow", [tuple(row) for row in classes])
    show("kDecompositions", "Decomposition", pairs)


def print_categories() -> None:
    import unicodedata2

    names = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
    rows, last = [], None
    for c in range(0x110000):
        category = names.index(unicodedata2.category(chr(c)))
        if category != last:
            rows.append(c << 5 | category)
            last = category
    print(f"// Made by make_tables.py from Unicode {unicodedata2.unidata_version}. Do not edit.")
    print("// Where a run of one category begins, times 32, plus the category: " + " ".join(names) + ".")
    print("constexpr uint32_t kCategoryRuns[] = {")
    cells = [f"0x{row:x}," for row in rows]
    for i in range(0, len(cells), 14):
        print("    " + " ".join(cells[i : i + 14]))
    print("};")


if __name__ == "__main__":
    {"classes": print_classes, "normal_forms": print_normal_forms, "categories": print_categories}[sys.argv[1]]()
