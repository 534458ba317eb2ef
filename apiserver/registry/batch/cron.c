/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/batch/cron.h"

#include <string.h>

#include "common/codec/duration.h"

struct bounds {
	unsigned min, max;
	const char *const *names; /* of values from min on, or NULL */
};

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                     "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const days[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct bounds fields[5] = {
    {0, 59, NULL}, {0, 23, NULL}, {1, 31, NULL}, {1, 12, months}, {0, 6, days}};

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
static const char *check_range(struct arena *a, const char *s, size_t n, const struct bounds *b)
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
	return NULL;
}

static const char *check_field(struct arena *a, const char *s, size_t n, const struct bounds *b)
{
	const char *end = s + n;

	while (s <= end) {
		const char *comma = memchr(s, ',', (size_t)(end - s));
		size_t len = comma ? (size_t)(comma - s) : (size_t)(end - s);
		const char *error = len ? check_range(a, s, len, b) : NULL;
		if (error)
			return error;
		if (!comma)
			break;
		s = comma + 1;
	}
	return NULL;
}

static const char *check_descriptor(struct arena *a, const char *s)
{
	static const char *const known[] = {"@yearly", "@annually", "@monthly", "@weekly",
	                                    "@daily",  "@midnight", "@hourly",  NULL};
	int64_t ns;
	struct err err = ERR_INIT;

	for (const char *const *k = known; *k; k++)
		if (!strcmp(*k, s))
			return NULL;
	if (!strncmp(s, "@every ", 7)) {
		if (!duration_parse(slice_str(s + 7), &ns, &err))
			return NULL;
		return arena_printf(a, "failed to parse duration %s: %s", s, err.text);
	}
	return arena_printf(a, "unrecognized descriptor: %s", s);
}

const char *cron_error(const char *s, struct arena *a)
{
	const char *whole = s;
	size_t n = 0;

	if (!*s)
		return "empty spec string";
	if (*s == '@')
		return check_descriptor(a, s);
	const char *starts[6];
	size_t lens[6];
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
		const char *error = check_field(a, starts[i], lens[i], &fields[i]);
		if (error)
			return error;
	}
	return NULL;
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
