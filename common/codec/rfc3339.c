/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/rfc3339.h"

#include <stdio.h>

/* Days since 1970-01-01 of a civil date (Howard Hinnant's algorithm, in era of 400 years). */
static int64_t days_of(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

static void civil_of(int64_t days, int64_t *y, int *m, int *d)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*y = yoe + era * 400 + (*m <= 2);
}

static int days_in_month(int y, int m)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return m == 2 && (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)) ? 29 : days[m - 1];
}

/* Takes exactly n digits from the front of *s. */
static bool take_digits(struct slice *s, size_t n, int *ret)
{
	if (s->len < n)
		return false;
	*ret = 0;
	for (size_t i = 0; i < n; i++) {
		if (s->data[i] < '0' || s->data[i] > '9')
			return false;
		*ret = *ret * 10 + (s->data[i] - '0');
	}
	*s = slice_skip(*s, n);
	return true;
}

static bool take_byte(struct slice *s, uint8_t c)
{
	if (!s->len || s->data[0] != c)
		return false;
	*s = slice_skip(*s, 1);
	return true;
}

/* Go's words for a value that a layout cannot read: where it stopped and at which element. */
static int mismatch(struct err *err, struct slice text, const char *layout, struct slice rest,
                    const char *elem)
{
	return err_set(err, ERR_BAD_REQUEST,
	               "parsing time \"%.*s\" as \"%s\": cannot parse \"%.*s\" as \"%s\"",
	               SLICE_FMT(text), layout, SLICE_FMT(rest), elem);
}

static int out_of_range(struct err *err, struct slice text, const char *what)
{
	return err_set(err, ERR_BAD_REQUEST, "parsing time \"%.*s\": %s out of range",
	               SLICE_FMT(text), what);
}

static int parse_offset(struct slice text, const char *layout, struct slice *s, int *ret_sec,
                        struct err *err)
{
	struct slice at = *s;
	int h, m;

	*ret_sec = 0;
	if (take_byte(s, 'Z'))
		return 0;
	bool minus = s->len && s->data[0] == '-';
	if (!take_byte(s, minus ? '-' : '+') || !take_digits(s, 2, &h) || !take_byte(s, ':') ||
	    !take_digits(s, 2, &m))
		return mismatch(err, text, layout, at, "Z07:00");
	if (h > 24)
		return out_of_range(err, text, "time zone offset hour");
	if (m > 60)
		return out_of_range(err, text, "time zone offset minute");
	*ret_sec = (h * 3600 + m * 60) * (minus ? -1 : 1);
	return 0;
}

/* Nine digits are kept. Answers how many there were. */
static size_t take_fraction(struct slice *s, int32_t *ret_nsec)
{
	size_t n = 0;
	int32_t v = 0, unit = 100000000;

	for (; n < s->len && s->data[n] >= '0' && s->data[n] <= '9'; n++) {
		v += (s->data[n] - '0') * unit;
		unit /= 10;
	}
	*s = slice_skip(*s, n);
	*ret_nsec = v;
	return n;
}

static int parse(struct slice text, const char *layout, bool micro, struct time_spec *ret,
                 struct err *err)
{
	static const struct {
		const char *elem;
		uint8_t digits, before;
	} parts[] = {{"2006", 4, 0}, {"01", 2, '-'}, {"02", 2, '-'},
	             {"15", 2, 'T'}, {"04", 2, ':'}, {"05", 2, ':'}};
	struct slice s = text, at;
	int v[6], offset, k;
	int32_t nsec = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].before && !take_byte(&s, parts[i].before))
			return mismatch(err, text, layout, s, (char[]){(char)parts[i].before, 0});
		if (!take_digits(&s, parts[i].digits, &v[i]))
			return mismatch(err, text, layout, s, parts[i].elem);
	}
	at = s;
	if (s.len > 1 && (s.data[0] == '.' || s.data[0] == ',') && s.data[1] >= '0' &&
	    s.data[1] <= '9') {
		s = slice_skip(s, 1);
		if (take_fraction(&s, &nsec) != 6 && micro)
			return mismatch(err, text, layout, at, ".000000");
	} else if (micro) {
		return mismatch(err, text, layout, at, ".000000");
	}
	k = parse_offset(text, layout, &s, &offset, err);
	if (k < 0)
		return k;
	if (s.len)
		return err_set(err, ERR_BAD_REQUEST, "parsing time \"%.*s\": extra text: \"%.*s\"",
		               SLICE_FMT(text), SLICE_FMT(s));
	if (v[1] < 1 || v[1] > 12)
		return out_of_range(err, text, "month");
	if (v[2] < 1 || v[2] > days_in_month(v[0], v[1]))
		return out_of_range(err, text, "day");
	if (v[3] > 23 || v[4] > 59 || v[5] > 59)
		return out_of_range(err, text,
		                    v[3] > 23   ? "hour"
		                    : v[4] > 59 ? "minute"
		                                : "second");
	*ret = (struct time_spec){
	    .sec = days_of(v[0], v[1], v[2]) * 86400 + v[3] * 3600 + v[4] * 60 + v[5] - offset,
	    .nsec = nsec,
	};
	return 0;
}

int rfc3339_parse(struct slice text, struct time_spec *ret, struct err *err)
{
	return parse(text, "2006-01-02T15:04:05Z07:00", false, ret, err);
}

int rfc3339_parse_micro(struct slice text, struct time_spec *ret, struct err *err)
{
	return parse(text, "2006-01-02T15:04:05.000000Z07:00", true, ret, err);
}

static char *put2(char *o, int v)
{
	*o++ = (char)('0' + v / 10);
	*o++ = (char)('0' + v % 10);
	return o;
}

/* Everything up to the seconds. */
static char *put_seconds(int64_t sec, char *o)
{
	int64_t days = sec / 86400, rest = sec % 86400, y;
	int m, d;

	if (rest < 0) {
		rest += 86400;
		days--;
	}
	civil_of(days, &y, &m, &d);
	if (y >= 0 && y <= 9999) {
		o = put2(o, (int)y / 100);
		o = put2(o, (int)y % 100);
	} else {
		o += snprintf(o, 14, "%04lld", (long long)y);
	}
	*o++ = '-';
	o = put2(o, m);
	*o++ = '-';
	o = put2(o, d);
	*o++ = 'T';
	o = put2(o, (int)(rest / 3600));
	*o++ = ':';
	o = put2(o, (int)(rest / 60 % 60));
	*o++ = ':';
	return put2(o, (int)(rest % 60));
}

size_t rfc3339_format(int64_t sec, char out[RFC3339_BYTES])
{
	char *o = put_seconds(sec, out);

	*o++ = 'Z';
	*o = 0;
	return (size_t)(o - out);
}

static char *put_fraction(char *o, int32_t value, int digits)
{
	*o = '.';
	for (int i = digits; i > 0; i--, value /= 10)
		o[i] = (char)('0' + value % 10);
	return o + digits + 1;
}

size_t rfc3339_format_micro(int64_t sec, int32_t nsec, char out[RFC3339_BYTES])
{
	char *o = put_fraction(put_seconds(sec, out), nsec / 1000, 6);

	*o++ = 'Z';
	*o = 0;
	return (size_t)(o - out);
}

size_t rfc3339_format_nano(int64_t sec, int32_t nsec, char out[RFC3339_BYTES])
{
	char *o = put_seconds(sec, out);

	if (nsec) {
		o = put_fraction(o, nsec, 9);
		while (o[-1] == '0')
			o--;
	}
	*o++ = 'Z';
	*o = 0;
	return (size_t)(o - out);
}
