/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions between types. */
#include <math.h>
#include "common/cel/internal.h"
#include "common/codec/duration.h"
#include "common/codec/rfc3339.h"
#include "common/codec/utf8.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

enum { NUMBER_BYTES = 64 };

FN(same)
{
	return args[0];
}

/* A text of a number, whole; false: it is none. */
static bool number_text(struct slice s, char out[NUMBER_BYTES])
{
	if (s.len == 0 || s.len >= NUMBER_BYTES || memchr(s.data, 0, s.len) ||
	    !strchr("+-.0123456789infINF", s.data[0]))
		return false;
	memcpy(out, s.data, s.len);
	out[s.len] = '\0';
	return true;
}

static struct cel_value bad_text(struct cel_run *run, const char *fn, struct slice s)
{
	return cel_error(run->arena, "strconv.%s: parsing \"%.*s\": invalid syntax", fn,
	                 SLICE_FMT(s));
}

/* Decimal digits and nothing else; false also where they do not fit. */
static bool digits(struct slice s, uint64_t *ret)
{
	bool over = false;

	*ret = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] < '0' || s.data[i] > '9')
			return false;
		over |= __builtin_mul_overflow(*ret, 10, ret);
		over |= __builtin_add_overflow(*ret, (uint64_t)(s.data[i] - '0'), ret);
	}
	return s.len && !over;
}

FN(to_int)
{
	struct cel_value v = args[0];
	bool negative;
	uint64_t u;

	switch (v.kind) {
	case CEL_UINT:
		return v.u <= INT64_MAX ? cel_of_int((int64_t)v.u)
		                        : cel_error(run->arena, "integer overflow");
	case CEL_DOUBLE:
		if (!(v.d > -9223372036854775808.0 && v.d < 9223372036854775808.0))
			return cel_error(run->arena, "integer overflow");
		return cel_of_int((int64_t)v.d);
	case CEL_TIMESTAMP:
		return cel_of_int(v.time.sec);
	case CEL_DURATION:
		return cel_of_int(v.i);
	default:
		negative = v.s.len && v.s.data[0] == '-';
		if (!digits(slice_skip(v.s, negative || (v.s.len && v.s.data[0] == '+')), &u) ||
		    u > (uint64_t)INT64_MAX + negative)
			return bad_text(run, "ParseInt", v.s);
		return cel_of_int(negative ? (int64_t)-u : (int64_t)u);
	}
}

FN(to_uint)
{
	struct cel_value v = args[0], r = {.kind = CEL_UINT};

	switch (v.kind) {
	case CEL_INT:
		if (v.i < 0)
			return cel_error(run->arena, "unsigned integer overflow");
		r.u = (uint64_t)v.i;
		return r;
	case CEL_DOUBLE:
		if (!(v.d > -1 && v.d < 18446744073709551616.0))
			return cel_error(run->arena, "unsigned integer overflow");
		r.u = (uint64_t)v.d;
		return r;
	default:
		return digits(v.s, &r.u) ? r : bad_text(run, "ParseUint", v.s);
	}
}

FN(to_double)
{
	struct cel_value v = args[0], r = {.kind = CEL_DOUBLE};
	char text[NUMBER_BYTES], *end;

	if (v.kind == CEL_INT) {
		r.d = (double)v.i;
	} else if (v.kind == CEL_UINT) {
		r.d = (double)v.u;
	} else {
		if (!number_text(v.s, text))
			return bad_text(run, "ParseFloat", v.s);
		r.d = strtod(text, &end);
		if (*end)
			return bad_text(run, "ParseFloat", v.s);
	}
	return r;
}

/* The shortest decimal text that reads back as the same number. */
static const char *double_text(double d, struct arena *a)
{
	if (isnan(d))
		return "NaN";
	if (isinf(d))
		return d > 0 ? "+Inf" : "-Inf";
	for (int digits = 1; digits < 17; digits++) {
		const char *text = arena_printf(a, "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			return text;
	}
	return arena_printf(a, "%.17g", d);
}

FN(to_string)
{
	struct cel_value v = args[0];
	char text[RFC3339_BYTES];

	switch (v.kind) {
	case CEL_BOOL:
		return cel_of_str(v.b ? "true" : "false");
	case CEL_INT:
		return cel_of_str(arena_printf(run->arena, "%lld", (long long)v.i));
	case CEL_UINT:
		return cel_of_str(arena_printf(run->arena, "%llu", (unsigned long long)v.u));
	case CEL_DOUBLE:
		return cel_of_str(double_text(v.d, run->arena));
	case CEL_BYTES:
		cel_charge_text(run, v.s.len);
		return utf8_valid(v.s)
		           ? cel_of_slice(v.s)
		           : cel_error(run->arena,
		                       "invalid UTF-8 in bytes, cannot convert to string");
	case CEL_TIMESTAMP:
		return cel_string_of(run, text, rfc3339_format_nano(v.time.sec, v.time.nsec, text));
	default: {
		/* Seconds with what fraction there is, as protobuf's JSON has durations. */
		int64_t ns = v.i % 1000000000;
		const char *sign = v.i < 0 ? "-" : "";
		uint64_t all = v.i < 0 ? 0 - (uint64_t)v.i : (uint64_t)v.i;
		if (ns == 0)
			return cel_of_str(arena_printf(run->arena, "%s%llus", sign,
			                               (unsigned long long)(all / 1000000000)));
		char *s = arena_printf(run->arena, "%s%llu.%09llu", sign,
		                       (unsigned long long)(all / 1000000000),
		                       (unsigned long long)(all % 1000000000));
		size_t len = strlen(s);
		while (s[len - 1] == '0')
			s[--len] = '\0';
		return cel_of_str(arena_printf(run->arena, "%ss", s));
	}
	}
}

FN(to_bytes)
{
	return (struct cel_value){.kind = CEL_BYTES, .s = args[0].s};
}

FN(to_bool)
{
	static const char *const YES[] = {"1", "t", "true", "TRUE", "True"};
	static const char *const NO[] = {"0", "f", "false", "FALSE", "False"};

	for (size_t i = 0; i < ARRAY_LEN(YES); i++)
		if (slice_eq_str(args[0].s, YES[i]) || slice_eq_str(args[0].s, NO[i]))
			return cel_of_bool(slice_eq_str(args[0].s, YES[i]));
	return cel_error(run->arena, "type conversion error from 'string' to 'bool'");
}

FN(to_duration)
{
	struct err err = ERR_INIT;
	struct cel_value v = {.kind = CEL_DURATION};

	if (args[0].kind == CEL_INT) {
		v.i = args[0].i;
		return v;
	}
	return duration_parse(args[0].s, &v.i, &err) < 0 ? cel_error(run->arena, "%s", err.text)
	                                                 : v;
}

FN(to_timestamp)
{
	struct err err = ERR_INIT;
	struct time_spec t = {0};

	if (args[0].kind == CEL_INT)
		t.sec = args[0].i;
	else if (rfc3339_parse(args[0].s, &t, &err) < 0)
		return cel_error(run->arena, "%s", err.text);
	if (t.sec < -62135596800 || t.sec > 253402300799)
		return cel_error(run->arena, "timestamp overflow");
	return (struct cel_value){.kind = CEL_TIMESTAMP, .time = {t.sec, t.nsec}};
}

static const struct cel_overload OVERLOADS[] = {
    {"int", false, "int:int", same},
    {"int", false, "uint:int", to_int},
    {"int", false, "double:int", to_int},
    {"int", false, "string:int", to_int},
    {"int", false, "timestamp:int", to_int},
    {"int", false, "duration:int", to_int},
    {"uint", false, "uint:uint", same},
    {"uint", false, "int:uint", to_uint},
    {"uint", false, "double:uint", to_uint},
    {"uint", false, "string:uint", to_uint},
    {"double", false, "double:double", same},
    {"double", false, "int:double", to_double},
    {"double", false, "uint:double", to_double},
    {"double", false, "string:double", to_double},
    {"string", false, "string:string", same},
    {"string", false, "bool:string", to_string},
    {"string", false, "int:string", to_string},
    {"string", false, "uint:string", to_string},
    {"string", false, "double:string", to_string},
    {"string", false, "bytes:string", to_string},
    {"string", false, "timestamp:string", to_string},
    {"string", false, "duration:string", to_string},
    {"bytes", false, "bytes:bytes", same},
    {"bytes", false, "string:bytes", to_bytes},
    {"bool", false, "bool:bool", same},
    {"bool", false, "string:bool", to_bool},
    {"duration", false, "duration:duration", same},
    {"duration", false, "string:duration", to_duration},
    {"duration", false, "int:duration", to_duration},
    {"timestamp", false, "timestamp:timestamp", same},
    {"timestamp", false, "string:timestamp", to_timestamp},
    {"timestamp", false, "int:timestamp", to_timestamp},
};
const struct cel_library cel_lib_convert = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
