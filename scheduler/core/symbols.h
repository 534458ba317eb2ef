/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Interned texts: label keys and values, namespaces, names of resources and images as small
 * numbers, so that plugins compare numbers and never texts. Numbers start at 1 (0 is "none"), are
 * counted by reference and used again after the last reference has gone. One owner. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbols;

struct symbols *symbols_new(void);
void symbols_free(struct symbols *s);

/* The number of a text, with a reference for the caller. NULL counts as "". */
uint32_t symbols_get(struct symbols *s, const char *text);
/* Without a reference; 0 when nobody uses the text. */
uint32_t symbols_find(const struct symbols *s, const char *text);
void symbols_ref(struct symbols *s, uint32_t symbol);
/* 0 is ignored. */
void symbols_unref(struct symbols *s, uint32_t symbol);
const char *symbols_text(const struct symbols *s, uint32_t symbol); /* "" for 0 */
/* The text as a decimal integer: for the operators Gt and Lt. False when it is none. */
bool symbols_number(const struct symbols *s, uint32_t symbol, int64_t *ret);
/* How many are in use. */
size_t symbols_count(const struct symbols *s);
