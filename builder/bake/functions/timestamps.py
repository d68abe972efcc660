"""Points in time, written as RFC 3339 or as seconds since 1970."""

from __future__ import annotations

import datetime
import re
import time

from builder.bake.errors import ExpressionError
from builder.bake.functions.function import Function
from builder.bake.values import Value, is_number
from builder.golang.duration import parse_duration

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_PART = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")


def _parse(text: str) -> datetime.datetime:
    match = _STAMP.fullmatch(text)
    try:
        if match is not None:
            zone = match[3].upper().replace("Z", "+00:00")
            return datetime.datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}")
    except ValueError:
        pass
    raise ExpressionError(f"`{text}` is not a valid RFC3339 timestamp")


def _write(moment: datetime.datetime) -> str:
    text = moment.isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _at(seconds: Value) -> datetime.datetime:
    if not isinstance(seconds, int):
        raise ExpressionError("unix timestamp must be an integer")
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        raise ExpressionError(f"{seconds} is out of range") from None


def _format_date(template: str, text: str) -> str:
    return _render(template, _parse(text))


def _format_timestamp(template: str, moment: Value) -> str:
    if isinstance(moment, str):
        parsed = _parse(moment)
    elif is_number(moment):
        parsed = _at(moment)
    else:
        raise ExpressionError("must be a string timestamp or a unix timestamp number")
    return str(int(parsed.timestamp())) if template == "X" else _render(template, parsed)


def _render(template: str, moment: datetime.datetime) -> str:
    text, position = "", 0
    while position < len(template):
        match = _PART.match(template, position)
        if match is None:
            raise ExpressionError("unterminated literal `'` in the format")
        position = match.end()
        if match[1] is not None:
            text += match[1].replace("''", "'")
        else:
            text += _field(match[0], moment) if match[2] else match[0]
    return text


def _field(verb: str, moment: datetime.datetime) -> str:
    hour = moment.hour % 12 or 12
    offset = moment.strftime("%z")
    colon = f"{offset[:3]}:{offset[3:5]}"
    known = {
        "YYYY": f"{moment.year:04d}", "YY": f"{moment.year % 100:02d}", "MMMM": moment.strftime("%B"),
        "MMM": moment.strftime("%b"), "MM": f"{moment.month:02d}", "M": str(moment.month), "DD": f"{moment.day:02d}",
        "D": str(moment.day), "EEEE": moment.strftime("%A"), "EEE": moment.strftime("%a"),
        "hh": f"{moment.hour:02d}", "h": str(moment.hour), "HH": f"{hour:02d}", "H": str(hour),
        "AA": moment.strftime("%p"), "aa": moment.strftime("%p").lower(), "mm": f"{moment.minute:02d}",
        "m": str(moment.minute), "ss": f"{moment.second:02d}", "s": str(moment.second), "ZZZZZ": colon,
        "ZZZZ": offset[:5], "ZZZ": "UTC" if colon == "+00:00" else offset[:5],
        "Z": "Z" if colon == "+00:00" else colon,
    }
    if verb not in known:
        raise ExpressionError(f"invalid date format verb `{verb}`", hint="literal text goes between single quotes")
    return known[verb]


def _add(text: str, duration: str) -> str:
    try:
        total = parse_duration(duration)
    except ValueError as error:
        raise ExpressionError(f"`{duration}` is not a valid duration", cause=str(error)) from None
    try:
        return _write(_parse(text) + datetime.timedelta(seconds=total / 1e9))
    except OverflowError:
        raise ExpressionError(f"`{duration}` leads out of the range of dates") from None


def _now() -> str:
    return _write(datetime.datetime.fromtimestamp(int(time.time()), datetime.UTC))


def _parts(seconds: Value) -> Value:
    moment = _at(seconds)
    year, week, _ = moment.isocalendar()
    return {
        "year": moment.year, "year_day": moment.timetuple().tm_yday, "day": moment.day, "month": moment.month,
        "month_name": moment.strftime("%B"), "weekday": (moment.weekday() + 1) % 7,
        "weekday_name": moment.strftime("%A"), "hour": moment.hour, "minute": moment.minute,
        "second": moment.second, "rfc3339": _write(moment), "iso_year": year, "iso_week": week,
    }


FUNCTIONS = {
    "formatdate": Function(_format_date, ("string", "string")),
    "formattimestamp": Function(_format_timestamp, ("string", "any")),
    "timeadd": Function(_add, ("string", "string")), "timestamp": Function(_now),
    "unixtimestampparse": Function(_parts, ("number",)),
}
