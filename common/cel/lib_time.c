/* SPDX-License-Identifier: Apache-2.0 */
/* Timestamps and durations. A zone is "UTC" or an offset: a pure function knows no time zone
 * database. */
#include "common/cel/internal.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

enum { NS_PER_MS = 1000000, MINUTE = 60, HOUR = 3600, DAY = 86400 };
static const int64_t NS = 1000000000;
/* 0001-01-01 to 9999-12-31. */
static const int64_t TIME_MIN = -62135596800, TIME_MAX = 253402300799;

static struct cel_value duration(struct cel_run *run, __int128 ns)
{
	if (ns > INT64_MAX || ns < INT64_MIN)
		return cel_error(run->arena, "duration overflow");
	return (struct cel_value){.kind = CEL_DURATION, .i = (int64_t)ns};
}

static __int128 in_ns(struct cel_value t)
{
	return (__int128)t.time.sec * NS + t.time.nsec;
}

static struct cel_value timestamp(struct cel_run *run, __int128 ns)
{
	__int128 sec = ns / NS;
	int32_t rest = (int32_t)(ns % NS);

	if (rest < 0) {
		rest += (int32_t)NS;
		sec--;
	}
	if (sec < TIME_MIN || sec > TIME_MAX)
		return cel_error(run->arena, "timestamp overflow");
	return (struct cel_value){.kind = CEL_TIMESTAMP, .time = {(int64_t)sec, rest}};
}

FN(add_durations)
{
	return duration(run, (__int128)args[0].i + args[1].i);
}
FN(subtract_durations)
{
	return duration(run, (__int128)args[0].i - args[1].i);
}
FN(negate)
{
	return duration(run, -(__int128)args[0].i);
}
FN(add_time)
{
	bool first = args[0].kind == CEL_TIMESTAMP;
	return timestamp(run, in_ns(args[first ? 0 : 1]) + args[first ? 1 : 0].i);
}
FN(subtract_duration)
{
	return timestamp(run, in_ns(args[0]) - args[1].i);
}
FN(between)
{
	return duration(run, in_ns(args[0]) - in_ns(args[1]));
}

/* --- parts ---------------------------------------------------------------------------------------
 */

struct date {
	int64_t year;
	int month, day, weekday, yearday; /* all from 0, days of week from Sunday */
	int64_t second_of_day;
};

/* Days to a date of the proleptic Gregorian calendar. */
static struct date date_of(int64_t sec)
{
	struct date d;
	int64_t days = sec / DAY;

	if (sec % DAY < 0)
		days--;
	d.second_of_day = sec - days * DAY;
	d.weekday = (int)(((days + 4) % 7 + 7) % 7);
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097, yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	d.day = (int)(doy - (153 * mp + 2) / 5);
	d.month = (int)(mp < 10 ? mp + 2 : mp - 10);
	d.year = yoe + era * 400 + (d.month <= 1);
	static const int BEFORE[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	bool leap = (d.year % 4 == 0 && d.year % 100 != 0) || d.year % 400 == 0;
	d.yearday = BEFORE[d.month] + d.day + (leap && d.month > 1);
	return d;
}

/* Seconds east of UTC; false: not known. */
static bool zone(struct slice s, int64_t *ret)
{
	bool negative = s.len && s.data[0] == '-';
	struct slice t = s.len && (s.data[0] == '-' || s.data[0] == '+') ? slice_skip(s, 1) : s;

	*ret = 0;
	if (s.len == 0 || slice_eq_str(s, "UTC") || slice_eq_str(s, "Etc/UTC") ||
	    slice_eq_str(s, "GMT"))
		return true;
	if (t.len != 5 || t.data[2] != ':')
		return false;
	for (size_t i = 0; i < t.len; i++)
		if (i != 2 && (t.data[i] < '0' || t.data[i] > '9'))
			return false;
	int64_t hours = (t.data[0] - '0') * 10 + t.data[1] - '0',
	        minutes = (t.data[3] - '0') * 10 + t.data[4] - '0';
	*ret = (hours * HOUR + minutes * MINUTE) * (negative ? -1 : 1);
	return true;
}

#define PART(name, expression)                                                 \
	FN(name)                                                               \
	{                                                                      \
		int64_t offset = 0;                                            \
		if (n > 1 && !zone(args[1].s, &offset))                        \
			return cel_error(run->arena, "unknown time zone %.*s", \
			                 SLICE_FMT(args[1].s));                \
		struct date d = date_of(args[0].time.sec + offset);            \
		(void)d;                                                       \
		return cel_of_int(expression);                                 \
	}
PART(full_year, d.year)
PART(month, d.month)
PART(date, d.day + 1)
PART(day_of_month, d.day)
PART(day_of_week, d.weekday)
PART(day_of_year, d.yearday)
PART(hours, d.second_of_day / HOUR)
PART(minutes, d.second_of_day / MINUTE % 60)
PART(seconds, d.second_of_day % MINUTE)
PART(milliseconds, args[0].time.nsec / NS_PER_MS)

FN(duration_hours)
{
	return cel_of_int(args[0].i / NS / HOUR);
}
FN(duration_minutes)
{
	return cel_of_int(args[0].i / NS / MINUTE);
}
FN(duration_seconds)
{
	return cel_of_int(args[0].i / NS);
}
FN(duration_milliseconds)
{
	return cel_of_int(args[0].i / NS_PER_MS);
}

static const struct cel_overload OVERLOADS[] = {
    {"_+_", false, "duration,duration:duration", add_durations},
    {"_+_", false, "timestamp,duration:timestamp", add_time},
    {"_+_", false, "duration,timestamp:timestamp", add_time},
    {"_-_", false, "duration,duration:duration", subtract_durations},
    {"_-_", false, "timestamp,duration:timestamp", subtract_duration},
    {"_-_", false, "timestamp,timestamp:duration", between},
    {"-_", false, "duration:duration", negate},
#define BOTH(name, fn)                                 \
	{name, true, "timestamp:int", fn},             \
	{                                              \
		name, true, "timestamp,string:int", fn \
	}
    BOTH("getFullYear", full_year),
    BOTH("getMonth", month),
    BOTH("getDate", date),
    BOTH("getDayOfMonth", day_of_month),
    BOTH("getDayOfWeek", day_of_week),
    BOTH("getDayOfYear", day_of_year),
    BOTH("getHours", hours),
    BOTH("getMinutes", minutes),
    BOTH("getSeconds", seconds),
    BOTH("getMilliseconds", milliseconds),
    {"getHours", true, "duration:int", duration_hours},
    {"getMinutes", true, "duration:int", duration_minutes},
    {"getSeconds", true, "duration:int", duration_seconds},
    {"getMilliseconds", true, "duration:int", duration_milliseconds},
};
const struct cel_library cel_lib_time = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
