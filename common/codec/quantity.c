/* SPDX-License-Identifier: Apache-2.0 */
#include "common/codec/quantity.h"

#include <stdio.h>

typedef __int128 i128;
typedef unsigned __int128 u128;

#define I128_MAX ((i128)(((u128)1 << 127) - 1))

enum { NANO = -9, DIGITS_MAX = 37, SCALE_MAX = 10000 };

/* 10^n of n <= 38, or the largest value. */
static i128 pow10_i128(int32_t n)
{
	i128 v = 1;

	if (n > 38)
		return I128_MAX;
	while (n-- > 0)
		v *= 10;
	return v;
}

/* v * 10^n; false when it does not fit. */
static bool shift_up(i128 v, int32_t n, i128 *ret)
{
	if (v == 0) {
		*ret = 0;
		return true;
	}
	return n <= 38 && !__builtin_mul_overflow(v, pow10_i128(n), ret);
}

/* v / 10^n, away from zero. */
static i128 shift_down(i128 v, int32_t n)
{
	if (n > 38)
		return (v > 0) - (v < 0);
	i128 p = pow10_i128(n), q = v / p, r = v % p;
	return q + (r > 0) - (r < 0);
}

/* Suffixes. */

static const char decimal_suffixes[][2] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
static const char binary_suffixes[][3] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};

struct suffix {
	enum quantity_format format;
	int32_t exp10, exp2;
};

static bool parse_exponent(struct slice s, int32_t *ret)
{
	int64_t v = 0;
	size_t i = s.len && (s.data[0] == '-' || s.data[0] == '+');

	if (i == s.len)
		return false;
	for (size_t j = i; j < s.len; j++) {
		if (s.data[j] < '0' || s.data[j] > '9')
			return false;
		v = MIN(v * 10 + (s.data[j] - '0'), (int64_t)SCALE_MAX);
	}
	*ret = (int32_t)(s.data[0] == '-' ? -v : v);
	return true;
}

static bool parse_suffix(struct slice s, struct suffix *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(decimal_suffixes); i++) {
		if (slice_eq_str(s, decimal_suffixes[i])) {
			*ret = (struct suffix){QUANTITY_DECIMAL_SI, (int32_t)i * 3 + NANO, 0};
			return true;
		}
	}
	for (size_t i = 1; i < ARRAY_LEN(binary_suffixes); i++) {
		if (slice_eq_str(s, binary_suffixes[i])) {
			*ret = (struct suffix){QUANTITY_BINARY_SI, 0, (int32_t)i * 10};
			return true;
		}
	}
	if (s.len > 1 && (s.data[0] == 'e' || s.data[0] == 'E')) {
		*ret = (struct suffix){QUANTITY_DECIMAL_EXPONENT, 0, 0};
		return parse_exponent(slice_skip(s, 1), &ret->exp10);
	}
	return false;
}

/* The parts of a text: sign, digits before and after the point, suffix. */
struct parts {
	bool neg;
	struct slice whole, fraction, suffix;
};

static struct slice take_while(struct slice *s, const char *set)
{
	size_t n = 0;

	while (n < s->len && s->data[n] && strchr(set, s->data[n]))
		n++;
	struct slice got = slice_of(s->data, n);
	*s = slice_skip(*s, n);
	return got;
}

static bool split(struct slice s, struct parts *ret)
{
	*ret = (struct parts){0};
	if (!s.len)
		return false;
	if (s.data[0] == '-' || s.data[0] == '+') {
		ret->neg = s.data[0] == '-';
		s = slice_skip(s, 1);
	}
	take_while(&s, "0");
	ret->whole = take_while(&s, "0123456789");
	if (s.len && s.data[0] == '.') {
		s = slice_skip(s, 1);
		ret->fraction = take_while(&s, "0123456789");
	}
	struct slice start = s;
	take_while(&s, "eEinumkKMGTP");
	if (s.len && (s.data[0] == '-' || s.data[0] == '+'))
		s = slice_skip(s, 1);
	take_while(&s, "0123456789");
	ret->suffix = slice_of(start.data, start.len - s.len);
	return s.len == 0;
}

/* Appends digits to *v while there is room. *dropped counts those left out, *lost says that one of
 * them was not zero. */
static void add_digits(struct slice digits, i128 *v, int *n, int *dropped, bool *lost)
{
	for (size_t i = 0; i < digits.len; i++) {
		int d = digits.data[i] - '0';

		if (*n >= DIGITS_MAX) {
			(*dropped)++;
			*lost |= d != 0;
			continue;
		}
		*v = *v * 10 + d;
		*n += *n > 0 || d != 0;
	}
}

/* Upstream keeps the text of what fits its 64-bit form. */
static bool fits_small(const struct parts *p, const struct suffix *s)
{
	int digits = (int)MIN(p->whole.len ? p->whole.len : 1, 1000u);
	int fraction = (int)MIN(p->fraction.len, 1000u);

	if (s->format != QUANTITY_BINARY_SI)
		return 18 - digits - fraction >= 0 && s->exp10 - fraction >= NANO;
	return fraction == 0 && 15 - digits - s->exp2 * 3 / 10 - 1 >= 0;
}

static void apply_limits(struct quantity *q, bool lost)
{
	if (q->scale < NANO) {
		q->value = shift_down(q->value, NANO - q->scale);
		q->scale = NANO;
	} else if (lost) {
		q->value += q->value < 0 ? -1 : 1;
	}
	struct quantity max = quantity_from_int(INT64_MAX, QUANTITY_DECIMAL_SI);
	if (q->format == QUANTITY_BINARY_SI && quantity_cmp(q, &max) > 0) {
		q->value = INT64_MAX;
		q->scale = 0;
	}
}

int quantity_parse(struct slice text, struct quantity *ret, struct err *err)
{
	struct parts p;
	struct suffix s;
	i128 v = 0;
	int n = 0, dropped_whole = 0, dropped = 0;
	bool lost = false;

	if (!split(text, &p))
		return err_set(err, ERR_BAD_REQUEST,
		               "quantities must match the regular expression "
		               "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
	if (!parse_suffix(p.suffix, &s))
		return err_set(err, ERR_BAD_REQUEST, "unable to parse quantity's suffix");

	struct quantity q = {.format = s.format, .reformat = !fits_small(&p, &s)};
	add_digits(p.whole, &v, &n, &dropped_whole, &lost);
	add_digits(p.fraction, &v, &n, &dropped, &lost);
	q.value = p.neg ? -v : v;
	q.scale =
	    s.exp10 + dropped_whole - ((int32_t)MIN(p.fraction.len, (size_t)SCALE_MAX) - dropped);
	if (s.exp2) {
		/* Make room for up to 60 bits: what stands behind nano is rounded away anyway. */
		while (q.value > I128_MAX >> 61 || q.value < -(I128_MAX >> 61)) {
			q.value = shift_down(q.value, 1);
			q.scale++;
		}
		q.value *= (i128)1 << s.exp2;
	}
	apply_limits(&q, lost);
	*ret = q;
	return 0;
}

struct quantity quantity_of(const char *text)
{
	struct quantity q = {0};

	if (text && *text)
		ERR_IGNORE(quantity_parse(slice_str(text), &q, NULL)); /* malformed: stays 0 */
	return q;
}

struct quantity quantity_from_int(int64_t value, enum quantity_format format)
{
	return (struct quantity){.value = value, .format = format, .reformat = true};
}

struct quantity quantity_from_milli(int64_t milli, enum quantity_format format)
{
	return (struct quantity){.value = milli, .scale = -3, .format = format, .reformat = true};
}

/* Writes a signed 128-bit number. */
static size_t put_number(i128 v, char *out)
{
	char digits[48], *p = digits + sizeof(digits);
	u128 u = v < 0 ? 0 - (u128)v : (u128)v;

	do
		*--p = (char)('0' + (int)(u % 10));
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	size_t n = (size_t)(digits + sizeof(digits) - p);
	memcpy(out, p, n);
	return n;
}

static size_t format_decimal(i128 v, int32_t exp, enum quantity_format format, char *out)
{
	while (v % 10 == 0) {
		v /= 10;
		exp++;
	}
	int32_t max = format == QUANTITY_DECIMAL_EXPONENT ? SCALE_MAX : 18;
	while ((exp % 3 != 0 || exp > max) && v <= I128_MAX / 10 && v >= -(I128_MAX / 10)) {
		v *= 10;
		exp--;
	}
	size_t n = put_number(v, out);
	if (format == QUANTITY_DECIMAL_EXPONENT) {
		out[n] = 0;
		return exp ? n + (size_t)snprintf(out + n, QUANTITY_BYTES - n, "e%d", exp) : n;
	}
	int i = (MAX(MIN(exp, 18), NANO) - NANO) / 3;
	return n + (size_t)snprintf(out + n, QUANTITY_BYTES - n, "%s", decimal_suffixes[i]);
}

static size_t format_binary(i128 v, char *out)
{
	size_t i = 0;

	for (; v % 1024 == 0 && i + 1 < ARRAY_LEN(binary_suffixes); i++)
		v /= 1024;
	size_t n = put_number(v, out);
	return n + (size_t)snprintf(out + n, QUANTITY_BYTES - n, "%s", binary_suffixes[i]);
}

size_t quantity_format_text(const struct quantity *q, char out[QUANTITY_BYTES])
{
	i128 units;

	if (q->value == 0) {
		memcpy(out, "0", 2);
		return 1;
	}
	/* A fraction, or fewer than 1024, is not shown with binary suffixes. */
	if (q->format == QUANTITY_BINARY_SI && quantity_is_integer(q) &&
	    (quantity_cmp_int(q, 1024) >= 0 || quantity_cmp_int(q, -1024) <= 0)) {
		if (q->scale <= 0)
			return format_binary(shift_down(q->value, -q->scale), out);
		if (shift_up(q->value, q->scale, &units))
			return format_binary(units, out);
	}
	return format_decimal(q->value, q->scale,
	                      q->format == QUANTITY_BINARY_SI ? QUANTITY_DECIMAL_SI : q->format,
	                      out);
}

int64_t quantity_scaled(const struct quantity *q, int32_t scale)
{
	i128 v = q->value;

	if (q->scale < scale)
		v = shift_down(v, scale - q->scale);
	else if (!shift_up(v, q->scale - scale, &v))
		return q->value < 0 ? INT64_MIN : INT64_MAX;
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_value(const struct quantity *q)
{
	return quantity_scaled(q, 0);
}

int64_t quantity_milli(const struct quantity *q)
{
	return quantity_scaled(q, -3);
}

void quantity_round_up(struct quantity *q, int32_t scale)
{
	q->reformat = true;
	if (q->scale < scale) {
		q->value = shift_down(q->value, scale - q->scale);
		q->scale = scale;
	}
}

double quantity_double(const struct quantity *q)
{
	double v = (double)q->value, p = 1;

	for (int32_t i = q->scale < 0 ? -q->scale : q->scale; i > 0 && p < 1e300; i--)
		p *= 10;
	return q->scale < 0 ? v / p : v * p;
}

int quantity_sign(const struct quantity *q)
{
	return (q->value > 0) - (q->value < 0);
}

bool quantity_is_zero(const struct quantity *q)
{
	return q->value == 0;
}

bool quantity_is_integer(const struct quantity *q)
{
	return q->scale >= 0 || q->value == 0 ||
	       (q->scale >= -38 && q->value % pow10_i128(-q->scale) == 0);
}

int quantity_cmp(const struct quantity *a, const struct quantity *b)
{
	i128 x = a->value, y = b->value;
	int sx = quantity_sign(a), sy = quantity_sign(b);

	if (sx != sy || sx == 0)
		return (sx > sy) - (sx < sy);
	/* Bring the coarser one to the finer scale; what does not fit is larger in size. */
	if (a->scale > b->scale && !shift_up(x, a->scale - b->scale, &x))
		return sx;
	if (b->scale > a->scale && !shift_up(y, b->scale - a->scale, &y))
		return -sy;
	return (x > y) - (x < y);
}

int quantity_cmp_int(const struct quantity *a, int64_t b)
{
	struct quantity q = quantity_from_int(b, QUANTITY_DECIMAL_SI);

	return quantity_cmp(a, &q);
}

/* Brings both to one scale: the finer one if that fits, else as fine as the larger allows. */
static void align(struct quantity *a, struct quantity *b)
{
	struct quantity *coarse = a->scale >= b->scale ? a : b, *fine = coarse == a ? b : a;

	if (coarse->value == 0)
		coarse->scale = fine->scale;
	while (coarse->scale > fine->scale && coarse->value <= I128_MAX / 10 &&
	       coarse->value >= -(I128_MAX / 10)) {
		coarse->value *= 10;
		coarse->scale--;
	}
	if (coarse->scale > fine->scale) {
		fine->value = shift_down(fine->value, coarse->scale - fine->scale);
		fine->scale = coarse->scale;
	}
}

void quantity_add(struct quantity *a, const struct quantity *b)
{
	struct quantity other = *b;
	i128 sum;

	if (a->value == 0)
		a->format = b->format;
	a->reformat = true;
	if (b->value == 0)
		return;
	align(a, &other);
	if (__builtin_add_overflow(a->value, other.value, &sum))
		sum = a->value < 0 ? -I128_MAX : I128_MAX;
	a->value = sum;
}

void quantity_sub(struct quantity *a, const struct quantity *b)
{
	struct quantity neg = *b;

	neg.value = -neg.value;
	quantity_add(a, &neg);
}

void quantity_neg(struct quantity *q)
{
	q->value = -q->value;
	q->reformat = true;
}

int quantity_cmp_text(const char *a, const char *b)
{
	struct quantity x = quantity_of(a), y = quantity_of(b);

	return quantity_cmp(&x, &y);
}
