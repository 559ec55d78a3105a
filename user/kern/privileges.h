/* SPDX-License-Identifier: BSD-2-Clause */
/* The capabilities that reuseportd needs, and whether we have them. */
#pragma once

#include <stddef.h>

/* The capabilities that `attach` always needs, for messages. */
#define PRIVILEGES_NEEDED "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH"

/* Checks our effective capabilities; CAP_SYS_ADMIN counts too if bpffs must be mounted first.
 * Returns 1 if we have all that `attach` needs, 0 with the missing ones listed in @ret_missing (cut
 * to @n bytes), or a negative errno if they can't be read. */
int privileges_check(char *ret_missing, size_t n);

/* The same for running workers as another user than ours. */
int privileges_check_other_user(char *ret_missing, size_t n);

/* Drops for good all capabilities, except those for opening files as any user. */
void privileges_keep_for_files(void);
