"""When a budget's period began and when it ends, by the clock on the wall of a time zone."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ai_gateway.model.policy import Period


def period_of(period: Period, now: float, zone: ZoneInfo) -> tuple[str, float, float]:
    """(name, beginning, end) of the period that `now` lies in; times in Unix seconds.

    A total never began (0) and never ends (0). A week begins on Monday.
    """
    if period == "total":
        return "total", 0.0, 0.0
    today = datetime.fromtimestamp(now, zone).date()
    first = _first_day(period, today)
    after = _first_day(period, first + timedelta(days={"day": 1, "week": 7, "month": 31}[period]))
    return f"{period}:{first.isoformat()}", _midnight(first, zone), _midnight(after, zone)


def _first_day(period: Period, day: date) -> date:
    match period:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case _:
            return day


def _midnight(day: date, zone: ZoneInfo) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
