"""The names of the tagging schemes, and the letters that each has beside `O`."""

TAG_SCHEMES = {
    "io": "I",
    "iob": "BI",
    "iob1": "BI",
    "iob2": "BI",
    "ioe": "IE",
    "ioe1": "IE",
    "ioe2": "IE",
    "iobes": "BIES",
    "bilou": "BILU",
    "bmes": "BMES",
    "bmewo": "BMEW",
}
"""The letters of each scheme. `iob` is IOB1 or IOB2, and `ioe` is IOE1 or IOE2, whichever the sentences show."""


def tag_scheme_named(name: str) -> str | None:
    """Return the scheme with the name, whose letters may stand in any order, with or without the `O`; None for none.

    >>> tag_scheme_named("BIOES"), tag_scheme_named("biluo"), tag_scheme_named("bio2"), tag_scheme_named("crf")
    ('iobes', 'bilou', 'iob2', None)
    """
    letters = sorted(name.lower().replace("o", ""))
    return next((known for known in TAG_SCHEMES if sorted(known.replace("o", "")) == letters), None)
