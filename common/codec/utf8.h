/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* UTF-8 as Go's unicode/utf8 sees it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "common/base/slice.h"

bool utf8_valid(struct slice s);
/* The rune at p (p < end) and its length in *ret_len; an invalid byte gives U+FFFD, length 1. */
uint32_t utf8_decode(const uint8_t *p, const uint8_t *end, size_t *ret_len);
/* Writes 1..4 bytes; surrogates and what is out of range become U+FFFD. */
size_t utf8_encode(uint32_t rune, uint8_t out[4]);
