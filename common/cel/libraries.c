/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cel/internal.h"

const struct cel_library *const cel_libraries[] = {
    &cel_lib_standard, &cel_lib_time,     &cel_lib_convert, &cel_lib_optional,
    &cel_lib_strings,  &cel_lib_lists,    &cel_lib_sets,    &cel_lib_regex,
    &cel_lib_net,      &cel_lib_quantity, &cel_lib_authz,
};
const size_t cel_n_libraries = ARRAY_LEN(cel_libraries);
