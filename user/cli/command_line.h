/* SPDX-License-Identifier: BSD-2-Clause */
/* From a command line to an invocation of a command. */
#pragma once

#include "cli/command.h"

/*
 * Parses the command line: argv[0] is the name for messages, such as "reuseportd drain". Prints
 * --help and exits with 0; reports an error on standard error and exits with EXIT_USAGE. @argv may
 * be reordered. The caller frees ret->run by args_free().
 */
void command_line_parse(const struct command *command, int argc, char **argv,
                        struct invocation *ret);

/* Reads the command line of this process as it was at first: main() and command_line_parse() change
 * their argv. The caller frees *ret, which must be NULL before, by strv_free(), also after a
 * failure. Returns 0 or a negative errno. */
int command_line_read_own(char ***ret, struct error *err);
