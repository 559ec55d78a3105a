/* SPDX-License-Identifier: BSD-2-Clause */
/* The options of each command, as rows of struct invocation. Those of `run` are in
 * config/run_option.h; run_extra has only the rest. */
#pragma once

#include "config/option.h"

extern const struct option_row command_options_run_extra[];
extern const struct option_row command_options_check[];
extern const struct option_row command_options_reload[];
extern const struct option_row command_options_restart[];
extern const struct option_row command_options_attach[];
extern const struct option_row command_options_detach[];
extern const struct option_row command_options_status[];
extern const struct option_row command_options_top[];
extern const struct option_row command_options_list[];
extern const struct option_row command_options_metrics[];
extern const struct option_row command_options_web[];
extern const struct option_row command_options_drain[];
extern const struct option_row command_options_drain_host[];
extern const struct option_row command_options_resume_host[];
extern const struct option_row command_options_canary[];
extern const struct option_row command_options_switch[];
extern const struct option_row command_options_swap[];
extern const struct option_row command_options_events[];
extern const struct option_row command_options_deploy[];
extern const struct option_row command_options_rollout[];
extern const struct option_row command_options_promote[];
extern const struct option_row command_options_abort[];
extern const struct option_row command_options_rollback[];
/* --service and --json. */
extern const struct option_row command_options_plain[];
/* --service, --json and --force. */
extern const struct option_row command_options_force[], command_options_policy[];
