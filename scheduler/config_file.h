/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The file of --config (KubeSchedulerConfiguration): read before the flags are parsed, because it
 * says some of what flags say. */
#include "common/base/vec.h"
#include "common/codec/jvalue.h"

typedef VEC(char *) config_argv;

/* The value of --config on the command line, or NULL. */
const char *config_file_flag(int argc, char **argv);
/* Reads the file and puts what stands for flags (leaderElection, clientConnection.kubeconfig) in
 * front of the arguments of the command line, so that these win. All texts are in the arena. */
int config_file_read(const char *path, int argc, char **argv, struct arena *a,
                     struct jvalue **ret_doc, config_argv *ret_argv, struct err *err);
