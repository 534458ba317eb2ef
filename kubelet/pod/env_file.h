/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files of environment variables that containers leave in a volume for others (KEP-3721). Pure. */
#include "common/base/arena.h"
#include "common/base/err.h"

/* The value of `key` in a file of lines KEY='value', in which comments begin with "#" and values
 * may span lines. NULL with err: the file is malformed; NULL without (code 0): it has no such key.
 */
const char *env_file_value(struct slice text, const char *key, struct arena *a, struct err *err);
