/* SPDX-License-Identifier: Apache-2.0 */
/* The extended strings library (cel-go ext/strings.go, version 2), but for format(). Positions
 * count characters. */
#include "common/base/buf.h"
#include "common/cel/internal.h"
#include "common/codec/utf8.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

struct cel_value cel_string_of(struct cel_run *run, const void *data, size_t n)
{
	return cel_of_slice(slice_of(arena_strndup(run->arena, data, n), n));
}

static size_t runes(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.data[i] & 0xc0) != 0x80;
	return n;
}

/* The byte at which character i begins; len where there are fewer. */
static size_t byte_at(struct slice s, size_t i)
{
	size_t at = 0;

	while (at < s.len && (i || (s.data[at] & 0xc0) == 0x80)) {
		if ((s.data[at] & 0xc0) != 0x80)
			i--;
		at++;
		while (at < s.len && (s.data[at] & 0xc0) == 0x80)
			at++;
	}
	return at;
}

static struct cel_value out_of_range(struct cel_run *run, int64_t i)
{
	return cel_error(run->arena, "index out of range: %lld", (long long)i);
}

FN(char_at)
{
	size_t all = runes(args[0].s);

	cel_charge_text(run, args[0].s.len);
	if (args[1].i < 0 || (uint64_t)args[1].i > all)
		return out_of_range(run, args[1].i);
	size_t begin = byte_at(args[0].s, (size_t)args[1].i),
	       end = byte_at(args[0].s, (size_t)args[1].i + 1);
	return cel_string_of(run, args[0].s.data + begin, end - begin);
}

static int64_t find(struct slice s, struct slice part, size_t from)
{
	if (!part.len)
		return (int64_t)from;
	if (from > s.len || s.len - from < part.len)
		return -1;
	const uint8_t *p = memmem(s.data + from, s.len - from, part.data, part.len);
	return p ? p - s.data : -1;
}

FN(index_of)
{
	int64_t from = n > 2 ? args[2].i : 0;

	cel_charge_text(run, args[0].s.len);
	if (from < 0 || (uint64_t)from > runes(args[0].s))
		return out_of_range(run, from);
	int64_t at = find(args[0].s, args[1].s, byte_at(args[0].s, (size_t)from));
	return cel_of_int(at < 0 ? -1 : (int64_t)runes(slice_of(args[0].s.data, (size_t)at)));
}

FN(last_index_of)
{
	struct slice s = args[0].s, part = args[1].s;
	size_t last = s.len;

	cel_charge_text(run, s.len);
	if (n > 2) {
		if (args[2].i < 0 || (uint64_t)args[2].i > runes(s))
			return out_of_range(run, args[2].i);
		last = byte_at(s, (size_t)args[2].i);
	}
	if (part.len > s.len)
		return cel_of_int(-1);
	for (size_t at = MIN(last, s.len - part.len) + 1; at-- > 0;)
		if (!part.len || !memcmp(s.data + at, part.data, part.len))
			return cel_of_int((int64_t)runes(slice_of(s.data, at)));
	return cel_of_int(-1);
}

FN(join)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	for (size_t i = 0; i < args[0].list->n; i++) {
		struct cel_value v = cel_list_at(args[0].list, i, run->arena);
		if (v.kind != CEL_STRING)
			return cel_no_overload(run);
		if (i && n > 1)
			buf_slice(&out, args[1].s);
		buf_slice(&out, v.s);
	}
	cel_charge_text(run, buf_view(&out).len);
	return cel_string_of(run, buf_view(&out).data, buf_view(&out).len);
}

static struct cel_value cased(struct cel_run *run, struct slice s, char from, char to, int by)
{
	uint8_t *p = (uint8_t *)arena_strndup(run->arena, s.data, s.len);

	cel_charge_text(run, s.len);
	for (size_t i = 0; i < s.len; i++)
		if (p[i] >= from && p[i] <= to)
			p[i] = (uint8_t)(p[i] + by);
	return cel_of_slice(slice_of(p, s.len));
}
FN(lower)
{
	return cased(run, args[0].s, 'A', 'Z', 'a' - 'A');
}
FN(upper)
{
	return cased(run, args[0].s, 'a', 'z', 'A' - 'a');
}

FN(replace)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct slice s = args[0].s, old = args[1].s;
	int64_t left = n > 3 ? args[3].i : -1;
	size_t at = 0;

	while (left != 0) {
		size_t from = at;
		/* An empty text stands before each character, and at the end. */
		int64_t hit = old.len ? find(s, old, at) : (int64_t)at;
		if (hit < 0)
			break;
		buf_add(&out, s.data + from, (size_t)hit - from);
		buf_slice(&out, args[2].s);
		left -= left > 0;
		at = (size_t)hit + old.len;
		cel_charge_text(run, buf_view(&out).len - from);
		if (!old.len) {
			if (at >= s.len)
				break;
			size_t len;
			utf8_decode(s.data + at, s.data + s.len, &len);
			buf_add(&out, s.data + at, len);
			at += len;
		}
		if (run->cost_limit && run->cost > run->cost_limit)
			break;
	}
	if (at < s.len)
		buf_add(&out, s.data + at, s.len - at);
	return cel_string_of(run, buf_view(&out).data, buf_view(&out).len);
}

FN(split)
{
	struct slice s = args[0].s, sep = args[1].s;
	int64_t limit = n > 2 ? args[2].i : -1;
	struct cel_value *items;
	size_t k = 0, most = sep.len ? s.len / sep.len + 1 : runes(s);

	cel_charge_text(run, s.len);
	if (limit >= 0)
		most = MIN(most, (size_t)limit);
	items = arena_array(run->arena, struct cel_value, most + 1);
	if (limit == 0)
		return cel_list_of(run->arena, items, 0);
	if (!sep.len && !s.len)
		return cel_list_of(run->arena, items, 0);
	for (;;) {
		int64_t hit;
		if (limit > 0 && k + 1 == (size_t)limit)
			hit = -1;
		else if (sep.len)
			hit = find(s, sep, 0);
		else
			hit = byte_at(s, 1) < s.len ? (int64_t)byte_at(s, 1) : -1;
		if (hit < 0)
			break;
		items[k++] = cel_string_of(run, s.data, (size_t)hit);
		s = slice_skip(s, (size_t)hit + sep.len);
	}
	items[k++] = cel_string_of(run, s.data, s.len);
	return cel_list_of(run->arena, items, k);
}

FN(substring)
{
	int64_t all = (int64_t)runes(args[0].s), begin = args[1].i, end = n > 2 ? args[2].i : all;

	cel_charge_text(run, args[0].s.len);
	if (begin < 0 || begin > all)
		return out_of_range(run, begin);
	if (end < 0 || end > all)
		return out_of_range(run, end);
	if (begin > end)
		return cel_error(run->arena, "invalid substring range. start: %lld, end: %lld",
		                 (long long)begin, (long long)end);
	size_t from = byte_at(args[0].s, (size_t)begin), to = byte_at(args[0].s, (size_t)end);
	return cel_string_of(run, args[0].s.data + from, to - from);
}

static bool is_space(uint32_t r)
{
	return (r >= 9 && r <= 13) || r == ' ' || r == 0x85 || r == 0xa0 || r == 0x1680 ||
	       (r >= 0x2000 && r <= 0x200a) || r == 0x2028 || r == 0x2029 || r == 0x202f ||
	       r == 0x205f || r == 0x3000;
}

FN(trim)
{
	struct slice s = args[0].s;
	size_t len, at;

	cel_charge_text(run, s.len);
	while (s.len && is_space(utf8_decode(s.data, s.data + s.len, &len)))
		s = slice_skip(s, len);
	while (s.len) {
		for (at = s.len - 1; at > 0 && (s.data[at] & 0xc0) == 0x80;)
			at--;
		if (!is_space(utf8_decode(s.data + at, s.data + s.len, &len)))
			break;
		s.len = at;
	}
	return cel_string_of(run, s.data, s.len);
}

FN(reverse)
{
	struct slice s = args[0].s;
	uint8_t *p = arena_alloc(run->arena, s.len + 1), *out = p + s.len;

	cel_charge_text(run, s.len);
	*out = '\0';
	for (size_t at = 0, len; at < s.len; at += len) {
		utf8_decode(s.data + at, s.data + s.len, &len);
		out -= len;
		memcpy(out, s.data + at, len);
	}
	return cel_of_slice(slice_of(p, s.len));
}

FN(quote)
{
	static const char FROM[] = "\a\b\f\n\r\t\v\\\"", TO[] = "abfnrtv\\\"";
	_cleanup_buf_ struct buf out = BUF_INIT;

	cel_charge_text(run, args[0].s.len);
	buf_slice(&out, SLICE_LIT("\""));
	for (size_t i = 0; i < args[0].s.len; i++) {
		int c = args[0].s.data[i];
		const char *special = c ? strchr(FROM, c) : NULL;

		if (special)
			buf_add(&out, (char[]){'\\', TO[special - FROM]}, 2);
		else
			buf_add(&out, &args[0].s.data[i], 1);
	}
	buf_slice(&out, SLICE_LIT("\""));
	return cel_string_of(run, buf_view(&out).data, buf_view(&out).len);
}

static const struct cel_overload OVERLOADS[] = {
    {"charAt", true, "string,int:string", char_at},
    {"indexOf", true, "string,string:int", index_of},
    {"indexOf", true, "string,string,int:int", index_of},
    {"lastIndexOf", true, "string,string:int", last_index_of},
    {"lastIndexOf", true, "string,string,int:int", last_index_of},
    {"join", true, "list<string>:string", join},
    {"join", true, "list<string>,string:string", join},
    {"lowerAscii", true, "string:string", lower},
    {"upperAscii", true, "string:string", upper},
    {"replace", true, "string,string,string:string", replace},
    {"replace", true, "string,string,string,int:string", replace},
    {"split", true, "string,string:list<string>", split},
    {"split", true, "string,string,int:list<string>", split},
    {"substring", true, "string,int:string", substring},
    {"substring", true, "string,int,int:string", substring},
    {"trim", true, "string:string", trim},
    {"reverse", true, "string:string", reverse},
    {"strings.quote", false, "string:string", quote},
};
const struct cel_library cel_lib_strings = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
