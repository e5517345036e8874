"""Names of languages into the codes that records have. Pure."""

from __future__ import annotations

import re

# MEDLINE's code, then its English name and other codes of it (ISO 639).
_LANGUAGES_TEXT = """
afr afrikaans af | alb albanian sq sqi | amh amharic am | ara arabic ar | arm armenian hy hye | aze azerbaijani az
| baq basque eu eus | bel belarusian be | ben bengali bn | bos bosnian bs | bul bulgarian bg | bur burmese my mya
| cat catalan ca | chi chinese zh zho | cze czech cs ces | dan danish da | dut dutch nl nld flemish | eng english en
| epo esperanto eo | est estonian et | fin finnish fi | fre french fr fra | geo georgian ka kat | ger german de deu
| glg galician gl | gre greek el ell | heb hebrew he | hin hindi hi | hrv croatian hr scr | hun hungarian hu
| ice icelandic is isl | ind indonesian id | ita italian it | jpn japanese ja | kaz kazakh kk | kin kinyarwanda rw
| kor korean ko | lat latin la | lav latvian lv | lit lithuanian lt | mac macedonian mk mkd | mal malayalam ml
| mao maori mi mri | may malay ms msa | mon mongolian mn | mul multiple | nep nepali ne | nor norwegian no nb nn
| per persian fa fas farsi | pol polish pl | por portuguese pt | pus pushto ps pashto | rum romanian ro ron moldavian
| rus russian ru | san sanskrit sa | slo slovak sk slk | slv slovenian sl | spa spanish es castilian
| srp serbian sr scc | swa swahili sw | swe swedish sv | tam tamil ta | tha thai th | tur turkish tr | ukr ukrainian uk
| und undetermined | urd urdu ur | uzb uzbek uz | vie vietnamese vi | wel welsh cy cym
"""
_ROWS = [row.split() for row in _LANGUAGES_TEXT.split("|")]
_CODES = {word: code for code, *words in _ROWS for word in (code, *words)}
# What records call a language whose code in use has changed.
_OLDER = {"srp": ("srp", "scc"), "hrv": ("hrv", "scr")}
_CODE = re.compile("[a-z]{3}")

NAMES = tuple(row[1] for row in _ROWS)


def language_codes(written: str) -> tuple[str, ...]:
    """The codes that records in a language have, by a code or an English name; none where it is no language."""
    word = written.casefold().strip()
    code = _CODES.get(word) or (word if _CODE.fullmatch(word) else None)
    return () if code is None else _OLDER.get(code, (code,))


def language_name(code: str) -> str:
    """The name by which PubMed knows it; the code where that is all that is known."""
    return next((row[1] for row in _ROWS if row[0] == code and code not in ("mul", "und")), code)
