/* SPDX-License-Identifier: Apache-2.0 */
#include "kube-proxy/core/element.h"

#include <stdlib.h>
#include <string.h>

unsigned element_key_words(enum family f, enum set_id set)
{
	return set == SET_CHAINS ? SHAPE_WORDS : parts_words(f, set_infos[set].key);
}

unsigned element_value_words(enum family f, enum set_id set)
{
	if (set == SET_CHAINS)
		return 0;
	return set_infos[set].interval ? addr_words(f) : parts_words(f, set_infos[set].data);
}

static unsigned word_bytes(const void *p, size_t n, uint32_t *w)
{
	*w = 0;
	memcpy(w, p, n);
	return 1;
}

static unsigned word_port(uint16_t port, uint32_t *w)
{
	return word_bytes((uint8_t[]){(uint8_t)(port >> 8), (uint8_t)port}, 2, w);
}

static uint16_t port_of_word(const uint32_t *w)
{
	uint8_t b[2];
	memcpy(b, w, 2);
	return (uint16_t)(b[0] << 8 | b[1]);
}

unsigned words_addr(enum family f, const struct addr *a, uint32_t *w)
{
	memcpy(w, a->bytes, addr_bytes(f));
	return addr_words(f);
}

unsigned words_frontend(enum family f, const struct frontend *fe, uint32_t *w)
{
	unsigned n = fe->node_port ? 0 : words_addr(f, &fe->addr, w);
	n += word_bytes(&fe->protocol, 1, w + n);
	return n + word_port(fe->port, w + n);
}

unsigned words_backend(enum family f, const struct backend *b, uint32_t *w)
{
	unsigned n = words_addr(f, &b->addr, w);
	return n + word_port(b->port, w + n);
}

struct backend backend_of_words(enum family f, const uint32_t *w)
{
	struct backend b = {.port = port_of_word(w + addr_words(f))};
	memcpy(b.addr.bytes, w, addr_bytes(f));
	return b;
}

struct frontend frontend_of_words(enum family f, const uint32_t *w, bool node_port)
{
	struct frontend fe = {.node_port = node_port};
	if (!node_port) {
		memcpy(fe.addr.bytes, w, addr_bytes(f));
		w += addr_words(f);
	}
	memcpy(&fe.protocol, w, 1);
	fe.port = port_of_word(w + 1);
	return fe;
}

/* Numbers of backends are in host byte order, so words compare as numbers. */
int element_cmp(const void *a, const void *b)
{
	const struct element *x = a, *y = b;
	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	for (unsigned i = 0; i < KEY_WORDS_MAX; i++)
		if (x->key[i] != y->key[i])
			return x->key[i] < y->key[i] ? -1 : 1;
	return 0;
}

bool element_same_value(const struct element *a, const struct element *b)
{
	return a->verdict == b->verdict && !memcmp(&a->shape, &b->shape, sizeof(a->shape)) &&
	       !memcmp(a->value, b->value, sizeof(a->value));
}

void elements_sort(element_list *l)
{
	if (l->n < 2)
		return;
	qsort(l->at, l->n, sizeof(*l->at), element_cmp);
	size_t n = 1;
	for (size_t i = 1; i < l->n; i++)
		if (element_cmp(&l->at[n - 1], &l->at[i]))
			l->at[n++] = l->at[i];
	l->n = n;
}

size_t elements_lower_bound(const element_list *l, const struct element *key)
{
	size_t low = 0, high = l->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (element_cmp(&l->at[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct element *elements_find(const element_list *l, enum set_id set, const uint32_t *key,
                                    unsigned key_words)
{
	struct element e = {.set = (uint8_t)set};
	memcpy(e.key, key, key_words * sizeof(*key));
	size_t at = elements_lower_bound(l, &e);
	return at < l->n && !element_cmp(&l->at[at], &e) ? &l->at[at] : NULL;
}

void element_pack(enum family f, const struct element *e, struct buf *out)
{
	buf_byte(out, e->set);
	buf_byte(out, e->verdict);
	if (e->verdict == VERDICT_GOTO)
		buf_add(out, &e->shape, sizeof(e->shape));
	buf_add(out, e->key, element_key_words(f, e->set) * 4);
	buf_add(out, e->value, element_value_words(f, e->set) * 4);
}

static void take(struct slice *from, void *to, size_t n)
{
	memcpy(to, from->data, n);
	*from = slice_skip(*from, n);
}

bool element_unpack(enum family f, struct slice *packed, struct element *ret)
{
	if (!packed->len)
		return false;
	*ret = (struct element){0};
	take(packed, &ret->set, 1);
	take(packed, &ret->verdict, 1);
	if (ret->verdict == VERDICT_GOTO)
		take(packed, &ret->shape, sizeof(ret->shape));
	take(packed, ret->key, element_key_words(f, ret->set) * 4);
	take(packed, ret->value, element_value_words(f, ret->set) * 4);
	return true;
}
