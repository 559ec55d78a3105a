/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The question to a program file before this process executes it: which layout of pinned maps does
 * it know? A program that is not reuseportd, that is damaged, or that can't read what is pinned now
 * would leave the services without a supervisor.
 *
 * The answer, on standard output, is the line REEXEC_CHECK_ANSWER; `reuseportd --abi` prints it.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/error.h"

#define REEXEC_CHECK_OPTION "--abi"
#define REEXEC_CHECK_ANSWER "reuseportd ABI %d\n"

struct reexec_check;

/* Called once. @why: NULL if the program may be executed, otherwise why not. */
typedef void (*reexec_check_done)(const char *why, void *data);

/* Runs @program with REEXEC_CHECK_OPTION, and calls @done from the loop within about a second. The
 * program is searched as execvp() does. The process is reaped by reaper.h. Returns 0 or a negative
 * errno with @err set. */
int reexec_check_begin(sd_event *loop, const char *program, reexec_check_done done, void *data,
                       struct reexec_check **ret, struct error *err);

/* Ends it, also before @done was called. NULL is allowed. */
void reexec_check_free(struct reexec_check *check);
