/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/cron.h"

#include <string.h>

#include "common/base/cleanup.h"
#include "common/codec/duration.h"

struct bounds {
	unsigned min, max;
	const char *const *names; /* of values from min on, or NULL */
};

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const week_days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct bounds fields[5] = {
    {0, 59, NULL}, {0, 23, NULL}, {1, 31, NULL}, {1, 12, month_names}, {0, 6, week_days}};

static bool same_fold(const char *s, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if ((s[i] | 0x20) != name[i])
			return false;
	return !name[n];
}

/* A number, or a name of the field. */
static const char *parse_value(struct arena *a, const char *s, size_t n, const struct bounds *b,
                               unsigned *ret)
{
	for (unsigned i = 0; b->names && b->names[i]; i++)
		if (same_fold(s, n, b->names[i])) {
			*ret = b->min + i;
			return NULL;
		}
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9' || i > 6)
			return arena_printf(a,
			                    "failed to parse int from %.*s: strconv.Atoi: parsing "
			                    "\"%.*s\": invalid syntax",
			                    (int)n, s, (int)n, s);
		*ret = *ret * 10 + (unsigned)(s[i] - '0');
	}
	if (!n)
		return "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax";
	return NULL;
}

/* "*", "5", "1-5", each with "/step". */
static const char *parse_range(struct arena *a, const char *s, size_t n, const struct bounds *b,
                               uint64_t *bits)
{
	const char *slash = memchr(s, '/', n), *dash, *error;
	size_t range = slash ? (size_t)(slash - s) : n;
	unsigned from, to, step = 1;

	if (slash && memchr(slash + 1, '/', n - range - 1))
		return arena_printf(a, "too many slashes: %.*s", (int)n, s);
	if (range == 1 && (*s == '*' || *s == '?')) {
		from = b->min;
		to = b->max;
	} else {
		dash = memchr(s, '-', range);
		size_t first = dash ? (size_t)(dash - s) : range;
		if ((error = parse_value(a, s, first, b, &from)))
			return error;
		to = slash && !dash ? b->max : from;
		if (dash && memchr(dash + 1, '-', range - first - 1))
			return arena_printf(a, "too many hyphens: %.*s", (int)n, s);
		if (dash && (error = parse_value(a, dash + 1, range - first - 1, b, &to)))
			return error;
	}
	if (slash && (error = parse_value(a, slash + 1, n - range - 1, b, &step)))
		return error;
	if (from < b->min)
		return arena_printf(a, "beginning of range (%u) below minimum (%u): %.*s", from,
		                    b->min, (int)n, s);
	if (to > b->max)
		return arena_printf(a, "end of range (%u) above maximum (%u): %.*s", to, b->max,
		                    (int)n, s);
	if (from > to)
		return arena_printf(a, "beginning of range (%u) beyond end of range (%u): %.*s",
		                    from, to, (int)n, s);
	if (!step)
		return arena_printf(a, "step of range should be a positive number: %.*s", (int)n,
		                    s);
	for (; from <= to; from += step)
		*bits |= UINT64_C(1) << from;
	return NULL;
}

static const char *parse_field(struct arena *a, const char *s, size_t n, const struct bounds *b,
                               uint64_t *bits)
{
	const char *end = s + n;

	while (s <= end) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		size_t len = comma ? (size_t)(comma - s) : (size_t)(end - s);
		const char *error = len ? parse_range(a, s, len, b, bits) : NULL;
		if (error)
			return error;
		if (!comma)
			break;
		s = comma + 1;
	}
	return NULL;
}

/* "*" alone; with a step it is a list like any other. */
static bool is_any(const char *field)
{
	return (*field == '*' || *field == '?') && field[1] != '/';
}

static const char *parse_fields(const char *s, struct arena *a, struct cron *ret)
{
	uint64_t *const bits[5] = {&ret->minutes, &ret->hours, &ret->month_days, &ret->months,
	                           &ret->week_days};
	const char *whole = s, *starts[6];
	size_t lens[6], n = 0;

	while (*s) {
		s += strspn(s, " \t\n\r");
		size_t len = strcspn(s, " \t\n\r");
		if (!len)
			break;
		if (n < 6) {
			starts[n] = s;
			lens[n] = len;
		}
		n++;
		s += len;
	}
	if (n != 5)
		return arena_printf(a, "expected exactly 5 fields, found %zu: [%s]", n, whole);
	for (size_t i = 0; i < 5; i++) {
		const char *error = parse_field(a, starts[i], lens[i], &fields[i], bits[i]);
		if (error)
			return error;
	}
	ret->any_month_day = is_any(starts[2]);
	ret->any_week_day = is_any(starts[4]);
	return NULL;
}

static const char *parse_descriptor(const char *s, struct arena *a, struct cron *ret)
{
	static const struct {
		const char *name, *fields;
	} known[] = {{"@yearly", "0 0 1 1 *"},  {"@annually", "0 0 1 1 *"},
	             {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
	             {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
	             {"@hourly", "0 * * * *"}};
	int64_t ns;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(known[i].name, s))
			return parse_fields(known[i].fields, a, ret);
	if (!strncmp(s, "@every ", 7)) {
		if (duration_parse(slice_str(s + 7), &ns, &err))
			return arena_printf(a, "failed to parse duration %s: %s", s, err.text);
		ret->every_s = MAX(ns / 1000000000, 1);
		return NULL;
	}
	return arena_printf(a, "unrecognized descriptor: %s", s);
}

const char *cron_parse(const char *s, struct arena *a, struct cron *ret)
{
	*ret = (struct cron){0};
	if (!*s)
		return "empty spec string";
	return *s == '@' ? parse_descriptor(s, a, ret) : parse_fields(s, a, ret);
}

const char *cron_error(const char *s, struct arena *a)
{
	struct cron c;

	return cron_parse(s, a, &c);
}

/* --- times --- */

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, YEARS = 5 };

/* Month (from 1) and day (from 1) of a number of days since 1970. */
static void civil(int64_t days, unsigned *ret_month, unsigned *ret_day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097, yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*ret_day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*ret_month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
}

static bool has(uint64_t bits, unsigned n)
{
	return bits >> n & 1;
}

static bool day_matches(const struct cron *c, int64_t days)
{
	unsigned month, day, week_day = (unsigned)(((days + 4) % 7 + 7) % 7);

	civil(days, &month, &day);
	bool by_month = has(c->month_days, day), by_week = has(c->week_days, week_day);
	bool either = !c->any_month_day && !c->any_week_day;
	return has(c->months, month) && (either ? by_month || by_week : by_month && by_week);
}

int64_t cron_next(const struct cron *c, int64_t after_s, cron_offset_fn offset, void *arg)
{
	int64_t t = after_s - (after_s % MINUTE_S + MINUTE_S) % MINUTE_S + MINUTE_S;
	int64_t end = after_s + (int64_t)YEARS * 366 * DAY_S;

	if (c->every_s)
		return after_s + c->every_s;
	while (t < end) {
		int64_t local = t + (offset ? offset(t, arg) : 0);
		int64_t day = local / DAY_S - (local % DAY_S < 0), second = local - day * DAY_S;
		if (day_matches(c, day)) {
			if (!has(c->hours, (unsigned)(second / HOUR_S)))
				t += HOUR_S - second % HOUR_S;
			else if (!has(c->minutes, (unsigned)(second % HOUR_S / MINUTE_S)))
				t += MINUTE_S - second % MINUTE_S;
			else
				return t - second % MINUTE_S;
			continue;
		}
		/* By hours at the end of a day: a change of clocks may move its end. */
		t += second < DAY_S - 3 * HOUR_S ? DAY_S - 3 * HOUR_S - second
		                                 : HOUR_S - second % HOUR_S;
	}
	return -1;
}

bool time_zone_is_known(const char *name)
{
	static const char *const areas[] = {
	    "Africa/",    "America/", "Antarctica/", "Arctic/",  "Asia/", "Atlantic/",
	    "Australia/", "Europe/",  "Indian/",     "Pacific/", "Etc/",  "US/",
	    "Canada/",    "Brazil/",  "Chile/",      "Mexico/",  NULL};
	static const char *const single[] = {
	    "UTC",       "GMT",      "UCT",     "Zulu",      "Universal", "CET",     "MET",
	    "EET",       "WET",      "EST",     "MST",       "HST",       "EST5EDT", "CST6CDT",
	    "MST7MDT",   "PST8PDT",  "Cuba",    "Egypt",     "Eire",      "GB",      "GB-Eire",
	    "Greenwich", "Hongkong", "Iceland", "Iran",      "Israel",    "Jamaica", "Japan",
	    "Kwajalein", "Libya",    "NZ",      "NZ-CHAT",   "Navajo",    "PRC",     "Poland",
	    "Portugal",  "ROC",      "ROK",     "Singapore", "Turkey",    "W-SU",    "GMT0",
	    "GMT+0",     "GMT-0",    NULL};

	for (const char *const *z = single; *z; z++)
		if (!strcmp(*z, name))
			return true;
	for (const char *const *p = areas; *p; p++)
		if (!strncmp(*p, name, strlen(*p)) && name[strlen(*p)])
			return true;
	return false;
}
