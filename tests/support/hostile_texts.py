"""Texts that a terminal would obey, or that a careless program would interpret."""

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://example.invalid\x1b\\link\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;aGk=\x07",
    "device": "\x1bP$q\x1b\\",
    "report": "\x1b[6n\x1b[c",
    "c1": "\x9b31m\x9d0;x\x9c",
    "overprint": "safe\revil",
    "backspace": "safe\x08\x08\x08\x08evil",
    "bell": "\x07\x0e\x0f",
    "delete": "a\x7fb",
    "bidi": "\u202eevil\u202c\u2066x\u2069\u200f\u061c",
    "separators": "a\u2028b\u2029c\x85d",
    "tags": "a\U000e0041\U000e007fb",
    "markup": "[bold red]x[/] [/nope] [link=http://example.invalid]y",
    "html": "List<String> &amp; <script>",
    "long": "x" * 100_000,
}
"""Name to text; all of it is valid UTF-8 without NUL."""

OBEYED = frozenset("\x1b\x07\x08\r\x0e\x0f\x7f\u061c\u200e\u200f\u2028\u2029") | {
    chr(code)
    for span in ((0x80, 0xA0), (0x202A, 0x202F), (0x2066, 0x206A), (0xE0000, 0xE0080))
    for code in range(*span)
}
"""Characters that must not reach a terminal from anybody but us."""
