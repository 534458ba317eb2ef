/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/duration.h"

#include <stdio.h>

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
    {"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

static int invalid(struct err *err, struct slice text)
{
	return err_set(err, ERR_BAD_REQUEST, "time: invalid duration \"%.*s\"", SLICE_FMT(text));
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static int parse_unit(struct slice text, struct slice *s, uint64_t *ret_ns, struct err *err)
{
	size_t n = 0;

	while (n < s->len && s->data[n] != '.' && !is_digit(s->data[n]))
		n++;
	if (n == 0)
		return err_set(err, ERR_BAD_REQUEST, "time: missing unit in duration \"%.*s\"",
		               SLICE_FMT(text));
	struct slice name = slice_of(s->data, n);
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (slice_eq_str(name, units[i].name)) {
			*ret_ns = units[i].ns;
			*s = slice_skip(*s, n);
			return 0;
		}
	}
	return err_set(err, ERR_BAD_REQUEST, "time: unknown unit \"%.*s\" in duration \"%.*s\"",
	               SLICE_FMT(name), SLICE_FMT(text));
}

/* One "12.5s"; adds it to *sum, which stays within 2^63. */
static int parse_term(struct slice text, struct slice *s, uint64_t *sum, struct err *err)
{
	uint64_t whole = 0, part = 0, unit = 0;
	double scale = 1;
	bool digits = false;
	int k;

	for (; s->len && is_digit(s->data[0]); *s = slice_skip(*s, 1), digits = true)
		if (__builtin_mul_overflow(whole, 10u, &whole) ||
		    __builtin_add_overflow(whole, (uint64_t)(s->data[0] - '0'), &whole) ||
		    whole > (uint64_t)1 << 63)
			return invalid(err, text);
	if (s->len && s->data[0] == '.') {
		*s = slice_skip(*s, 1);
		for (; s->len && is_digit(s->data[0]); *s = slice_skip(*s, 1), digits = true) {
			if (part > (uint64_t)INT64_MAX / 10 - 1)
				continue;
			part = part * 10 + (uint64_t)(s->data[0] - '0');
			scale *= 10;
		}
	}
	if (!digits)
		return invalid(err, text);
	k = parse_unit(text, s, &unit, err);
	if (k < 0)
		return k;
	if (__builtin_mul_overflow(whole, unit, &whole))
		return invalid(err, text);
	whole += (uint64_t)((double)part * ((double)unit / scale));
	if (whole > (uint64_t)1 << 63 || __builtin_add_overflow(*sum, whole, sum) ||
	    *sum > (uint64_t)1 << 63)
		return invalid(err, text);
	return 0;
}

int duration_parse(struct slice text, int64_t *ret_ns, struct err *err)
{
	struct slice s = text;
	uint64_t sum = 0;
	bool neg = s.len && s.data[0] == '-';

	if (s.len && (neg || s.data[0] == '+'))
		s = slice_skip(s, 1);
	if (slice_eq_str(s, "0")) {
		*ret_ns = 0;
		return 0;
	}
	if (!s.len)
		return invalid(err, text);
	while (s.len) {
		if (s.data[0] != '.' && !is_digit(s.data[0]))
			return invalid(err, text);
		int k = parse_term(text, &s, &sum, err);
		if (k < 0)
			return k;
	}
	if (!neg && sum > INT64_MAX)
		return invalid(err, text);
	*ret_ns = (int64_t)(neg ? 0 - sum : sum);
	return 0;
}

/* value / 10^digits without trailing zeros, and a unit. */
static size_t format_fraction(uint64_t value, int digits, const char *unit, char *out)
{
	char text[24];
	uint64_t pow = 1;

	for (int i = 0; i < digits; i++)
		pow *= 10;
	int n = snprintf(text, sizeof(text), "%0*llu", digits, (unsigned long long)(value % pow));
	if (digits == 0)
		n = 0;
	while (n > 0 && text[n - 1] == '0')
		n--;
	return (size_t)snprintf(out, DURATION_BYTES, "%llu%s%.*s%s",
	                        (unsigned long long)(value / pow), n ? "." : "", n, text, unit);
}

size_t duration_format(int64_t ns, char out[DURATION_BYTES])
{
	uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	char *o = out;

	if (u == 0)
		return (size_t)snprintf(out, DURATION_BYTES, "0s");
	if (ns < 0)
		*o++ = '-';
	if (u < 1000)
		o += format_fraction(u, 0, "ns", o);
	else if (u < 1000000)
		o += format_fraction(u, 3, "\xc2\xb5s", o);
	else if (u < 1000000000)
		o += format_fraction(u, 6, "ms", o);
	else {
		uint64_t minutes = u / 60000000000;

		if (minutes >= 60)
			o += snprintf(o, 12, "%uh", (unsigned)(minutes / 60));
		if (minutes)
			o += snprintf(o, 4, "%um", (unsigned)(minutes % 60));
		char seconds[DURATION_BYTES];
		size_t n = format_fraction(u % 60000000000, 9, "s", seconds);
		memcpy(o, seconds, n + 1);
		o += n;
	}
	return (size_t)(o - out);
}

size_t duration_format_human(int64_t sec, char out[DURATION_BYTES])
{
	long long s = sec, minutes = s / 60, hours = s / 3600, days = hours / 24;
	int n;

	if (s < -1)
		n = snprintf(out, DURATION_BYTES, "<invalid>");
	else if (s < 0)
		n = snprintf(out, DURATION_BYTES, "0s");
	else if (s < 120)
		n = snprintf(out, DURATION_BYTES, "%llds", s);
	else if (minutes < 10)
		n = s % 60 ? snprintf(out, DURATION_BYTES, "%lldm%llds", minutes, s % 60)
		           : snprintf(out, DURATION_BYTES, "%lldm", minutes);
	else if (minutes < 180)
		n = snprintf(out, DURATION_BYTES, "%lldm", minutes);
	else if (hours < 8)
		n = minutes % 60 ? snprintf(out, DURATION_BYTES, "%lldh%lldm", hours, minutes % 60)
		                 : snprintf(out, DURATION_BYTES, "%lldh", hours);
	else if (hours < 48)
		n = snprintf(out, DURATION_BYTES, "%lldh", hours);
	else if (hours < 192)
		n = hours % 24 ? snprintf(out, DURATION_BYTES, "%lldd%lldh", days, hours % 24)
		               : snprintf(out, DURATION_BYTES, "%lldd", days);
	else if (days < 365 * 2)
		n = snprintf(out, DURATION_BYTES, "%lldd", days);
	else if (days < 365 * 8)
		n = days % 365 ? snprintf(out, DURATION_BYTES, "%lldy%lldd", days / 365, days % 365)
		               : snprintf(out, DURATION_BYTES, "%lldy", days / 365);
	else
		n = snprintf(out, DURATION_BYTES, "%lldy", days / 365);
	return (size_t)n;
}
