/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rules of claims that ephemeral volumes and stateful sets share. Internal to registry/. */
#include "apiserver/registry/check.h"

void pvc_spec_check(errs_t errs, path_t p, const CoreV1__PersistentVolumeClaimSpec *spec);
/* The modes of a volume or claim. */
void access_modes_check(errs_t errs, path_t p, char *const *modes, size_t n);
