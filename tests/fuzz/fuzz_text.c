/* SPDX-License-Identifier: Apache-2.0 */
/* Small texts: quantities, selectors, times, durations, base64, names, cron schedules. */
#include <assert.h>
#include "common/codec/base64.h"
#include "common/codec/cron.h"
#include "common/codec/duration.h"
#include "common/codec/fields.h"
#include "common/codec/labels.h"
#include "common/codec/names.h"
#include "common/codec/quantity.h"
#include "common/codec/rfc3339.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quantity(struct slice in)
{
	struct quantity q, r;
	char text[QUANTITY_BYTES];

	if (quantity_parse(in, &q, NULL) < 0)
		return;
	size_t n = quantity_format_text(&q, text);
	assert(n < QUANTITY_BYTES);
	if (quantity_parse(slice_of(text, n), &r, NULL) == 0 && !q.reformat)
		assert(quantity_cmp(&q, &r) == 0);
	quantity_milli(&q);
	quantity_add(&q, &r);
	quantity_round_up(&q, -3);
}

static void selectors(const char *text, struct arena *a)
{
	struct label_selector sel, again;
	struct field_selector fields;
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (label_selector_parse(text, a, &sel, NULL) == 0 && sel.n) {
		label_selector_format(&sel, &out);
		/* A set of the empty value is printed as "()", which no parser takes. */
		if (label_selector_parse((char *)out.data, a, &again, NULL) == 0)
			assert(again.n == sel.n);
	}
	if (field_selector_parse(text, a, &fields, NULL) == 0)
		field_selector_format(&fields, &out);
}

static void schedules(const char *text, struct arena *a)
{
	static const int64_t NOW = 1700000000;
	struct cron c;

	if (cron_parse(text, a, &c))
		return;
	int64_t next = cron_next(&c, NOW, NULL, NULL);
	assert(next == -1 || next > NOW);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size), bytes;
	_cleanup_arena_ struct arena a = {0};
	const char *text = arena_strndup(&a, data, size), *msgs[NAMES_MAX];
	struct time_spec t;
	int64_t ns;
	char out[RFC3339_BYTES];

	quantity(in);
	selectors(text, &a);
	schedules(text, &a);
	if (rfc3339_parse(in, &t, NULL) == 0)
		rfc3339_format_nano(t.sec, t.nsec, out);
	if (duration_parse(in, &ns, NULL) == 0) {
		int64_t again;

		size_t n = duration_format(ns, out);
		int k = duration_parse(slice_of(out, n), &again, NULL);
		assert(k < 0 || again == ns);
	}
	int k = base64_decode(in, &a, &bytes, NULL);
	if (k == 0)
		k = base64url_decode(in, &a, &bytes, NULL);
	assert(names_qualified(text, &a, msgs) <= NAMES_MAX);
	assert(names_port_name(text, &a, msgs) <= NAMES_MAX);
	assert((names_dns1123_subdomain(text, &a, msgs) == 0) == names_is_dns1123_subdomain(text));
	return 0;
}
