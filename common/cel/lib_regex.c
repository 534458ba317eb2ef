/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes' regex library: find and findAll. */
#include "common/cel/internal.h"
#include "common/cel/regex.h"

#define FN(name) \
	static struct cel_value name(struct cel_run *run, const struct cel_value *args, size_t n)

/* At most `limit` matches (-1: all), as a list. */
static struct cel_value matches(struct cel_run *run, const struct cel_value *args, int64_t limit)
{
	struct slice s = args[0].s;
	struct cel_value *items = NULL;
	struct cel_regex *re;
	size_t k = 0, cap = 0, from = 0, begin, end;
	const char *why;
	int r = 0;

	cel_charge_text(run, s.len * (1 + args[1].s.len / 4));
	if (cel_regex_new(args[1].s, &re, run->arena, &why) < 0)
		return cel_error(run->arena, "Illegal regex: error parsing regexp: %s", why);
	while ((limit < 0 || k < (size_t)limit) && from <= s.len) {
		r = cel_regex_find(re, s, from, &begin, &end);
		if (r != 1)
			break;
		if (k == cap) {
			size_t more = cap ? 2 * cap : 4;
			items = arena_grow(run->arena, items, cap * sizeof(*items),
			                   more * sizeof(*items));
			cap = more;
		}
		items[k++] = cel_string_of(run, s.data + begin, end - begin);
		from = end > begin ? end : end + 1;
		/* Never into the middle of a character. */
		while (from < s.len && (s.data[from] & 0xc0) == 0x80)
			from++;
	}
	cel_regex_free(re);
	return r < 0 ? cel_error(run->arena, "the pattern is too expensive")
	             : cel_list_of(run->arena, items, k);
}

FN(find)
{
	struct cel_value all = matches(run, args, 1);

	if (all.kind == CEL_ERROR)
		return all;
	return all.list->n ? cel_list_at(all.list, 0, run->arena) : cel_of_str("");
}
FN(find_all)
{
	return matches(run, args, n > 2 ? args[2].i : -1);
}

static const struct cel_overload OVERLOADS[] = {
    {"find", true, "string,string:string", find},
    {"findAll", true, "string,string:list<string>", find_all},
    {"findAll", true, "string,string,int:list<string>", find_all},
};
const struct cel_library cel_lib_regex = {OVERLOADS, ARRAY_LEN(OVERLOADS)};
