/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Mounts below a pod's folder, and the safe removal of folders. */
#include <stdbool.h>

/* Something is mounted there. */
bool mounts_is_point(const char *path);
/* Unmounts everything below the folder; true when nothing is left. */
bool mounts_release(const char *folder);
/* Removes a folder and what is in it, unless something is still mounted below it: that could be
 * someone's data. */
void mounts_remove_tree(const char *folder);
