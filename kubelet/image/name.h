/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Names of images: [host[:port]/]path[:tag][@digest] (distribution/reference). Pure. */
#include "common/base/arena.h"
#include "common/base/err.h"

/* The name with ":latest" when it has neither tag nor digest; NULL and err when it is no name. */
const char *image_name_complete(const char *name, struct arena *a, struct err *err);
/* Where it is pulled from, without tag and digest: "docker.io/library/busybox" for "busybox". */
const char *image_repository(const char *name, struct arena *a);
/* Neither a tag other than "latest" nor a digest: pulled always unless the pod says otherwise. */
bool image_name_is_latest(const char *name);
