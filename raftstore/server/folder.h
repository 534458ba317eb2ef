/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Folders under the data directory. Errors: -ERR_IO, which names the path. */
#include "common/base/err.h"

/* 0700; one that is there is as good. */
_must_use_ int folder_make(const char *path, struct err *err);
/* Names that were made or changed in it are durable. */
_must_use_ int folder_sync(const char *path, struct err *err);
/* With all that is in it; what cannot be removed stays. */
void folder_remove(const char *path);
