/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of the command table: each is defined in the file of its name, cmd_NAME.c. */
#pragma once

#include "base/error.h"

struct invocation;

/* Carries out a command. Returns its exit status, or a negative errno with @err set. */
typedef int cmd_function(struct invocation *invocation, struct error *err);

extern cmd_function cmd_attach, cmd_canary, cmd_check, cmd_connections, cmd_detach, cmd_doctor,
        cmd_drain, cmd_events, cmd_label, cmd_list, cmd_metrics, cmd_reload, cmd_restart,
        cmd_resume, cmd_run, cmd_scale, cmd_start, cmd_status, cmd_stop, cmd_swap, cmd_switch,
        cmd_top, cmd_weight;
