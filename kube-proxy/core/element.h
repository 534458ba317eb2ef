/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Elements of the table's sets: making, comparing, and keeping them packed. Pure. */
#include "common/base/buf.h"
#include "kube-proxy/core/layout.h"

typedef VEC(struct element) element_list;

/* An address, protocol and port; for a node port without the address. */
struct frontend {
	struct addr addr;
	uint16_t port; /* host byte order */
	uint8_t protocol;
	bool node_port;
};

struct backend {
	struct addr addr;
	uint16_t port;
};

/* Words of one element's key and value; SET_CHAINS has its shape as the key. */
unsigned element_key_words(enum family f, enum set_id set);
unsigned element_value_words(enum family f, enum set_id set);

/* Each appends to the words at w and returns how many they were. */
unsigned words_addr(enum family f, const struct addr *a, uint32_t *w);
unsigned words_frontend(enum family f, const struct frontend *fe, uint32_t *w);
unsigned words_backend(enum family f, const struct backend *b, uint32_t *w);
struct backend backend_of_words(enum family f, const uint32_t *w);
struct frontend frontend_of_words(enum family f, const uint32_t *w, bool node_port);

/* By set, then key; the value does not count. */
int element_cmp(const void *a, const void *b);
bool element_same_value(const struct element *a, const struct element *b);
/* Sorts and drops what comes twice (the first one stays). */
void elements_sort(element_list *l);
/* The element with this set and key, or NULL; the list is sorted. */
const struct element *elements_find(const element_list *l, enum set_id set, const uint32_t *key,
                                    unsigned key_words);
/* The index of the first element that is not below. */
size_t elements_lower_bound(const element_list *l, const struct element *key);

void element_pack(enum family f, const struct element *e, struct buf *out);
/* Takes one element off the packed bytes; false at their end. */
bool element_unpack(enum family f, struct slice *packed, struct element *ret);
