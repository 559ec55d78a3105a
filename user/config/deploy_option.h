/* SPDX-License-Identifier: BSD-2-Clause */
/* The options that fill a struct deploy_settings: of `run`, for all deployments of a service, and
 * of `deploy`, for one. */
#pragma once

#include "base/error.h"
#include "config/option.h"
#include "core/deploy_settings.h"

/* Setters, for option_row.set, each of the member of its name. */
int deploy_option_set_strategy(void *member, const struct option_setting *setting,
                               struct error *err);
int deploy_option_set_steps(void *member, const struct option_setting *setting, struct error *err);
int deploy_option_set_tolerate(void *member, const struct option_setting *setting,
                               struct error *err);
int deploy_option_set_command(void *member, const struct option_setting *setting,
                              struct error *err);
int deploy_option_set_rate(void *member, const struct option_setting *setting, struct error *err);
int deploy_option_add_ignored(void *member, const struct option_setting *setting,
                              struct error *err);
int deploy_option_set_keep_new(void *member, const struct option_setting *setting,
                               struct error *err);

/* The rows. @SET: a macro of a setter and a member of struct deploy_settings, which makes the last
 * two fields of a row. */
#define DEPLOY_OPTIONS(SET)                                                                        \
	{"strategy", "STRATEGY",                                                                   \
	 "How `deploy` brings in a new version. rolling: batch by batch, as `reload`; "            \
	 "blue-green: "                                                                            \
	 "starts all new workers beside the old ones, then gives them all connections at once; "   \
	 "canary: gives the new version a small exact share of the connections first, which "      \
	 "grows "                                                                                  \
	 "with each step (default: rolling)",                                                      \
	 SET(deploy_option_set_strategy, strategy)},                                               \
	        {"steps", "SHARE TIME,...",                                                        \
	         "Steps of a canary, each with its share of new connections, and how long it "     \
	         "lasts; "                                                                         \
	         "`SHARE pause` waits for `promote`, at most for --pause-timeout. `100% TIME` at " \
	         "the end: with any strategy, the new version is judged for TIME when it has all " \
	         "new connections, before the deployment ends: by --max-error-rate and --check. "  \
	         "It needs one of them, because no old version is left to compare with "           \
	         "(default: 5% 2m, 25% 3m, 50% 5m)",                                               \
	         SET(deploy_option_set_steps, steps)},                                             \
	        {"warm-up", "TIME",                                                                \
	         "Do not judge what happens in this time after new workers were admitted "         \
	         "(default: 10s)",                                                                 \
	         SET(option_set_time, warm_up)},                                                   \
	        {"step-deadline", "TIME",                                                          \
	         "A step without enough samples lasts at most this much longer; then the "         \
	         "deployment "                                                                     \
	         "pauses (default: 10m)",                                                          \
	         SET(option_set_time, step_deadline)},                                             \
	        {"min-samples",                                                                    \
	         "N",                                                                              \
	         "Each step needs this many connections to the new version, or this many of its "  \
	         "responses (default: 100)",                                                       \
	         SET(option_set_number, min_samples),                                              \
	         .min = 1,                                                                         \
	         .max = 1000000000},                                                               \
	        {"tolerate", "FACTOR",                                                             \
	         "The new version may have FACTOR times the error rate of the old one, and its "   \
	         "responses may take FACTOR times as long and 1 ms more (default: 1.5)",           \
	         SET(deploy_option_set_tolerate, tolerate)},                                       \
	        {"max-error-rate", "PERCENT",                                                      \
	         "Abort when more than PERCENT of the new version's connections have failed, "     \
	         "whatever the old version does (default: no limit)",                              \
	         SET(deploy_option_set_rate, max_error_rate)},                                     \
	        {"confidence", "PERCENT",                                                          \
	         "How sure the judgement must be before it aborts. With 99%, at most one in 100 "  \
	         "deployments of a version that is as good as the old one is aborted. A higher "   \
	         "value needs more connections to find a bad version (default: 99%)",              \
	         SET(deploy_option_set_rate, confidence)},                                         \
	        {"pause-timeout", "TIME",                                                          \
	         "Abort a deployment that was paused for this long; 0: never "                     \
	         "(default: 1h)",                                                                  \
	         SET(option_set_time, pause_timeout)},                                             \
	        {"keep-old", "TIME",                                                               \
	         "After a deployment, keep the old workers for this time, without new "            \
	         "connections, "                                                                   \
	         "so that `rollback` needs no start. They return by themselves if no new worker "  \
	         "lives (default: 5m)",                                                            \
	         SET(option_set_time, keep_old)},                                                  \
	        {"keep-new", "TIME|for-ever",                                                      \
	         "After an abort, keep the new workers for this time, without new connections "    \
	         "(default: 30s)",                                                                 \
	         SET(deploy_option_set_keep_new, keep_new)},                                       \
	        {"ignore", "NETWORK",                                                              \
	         "Do not judge by connections from this address or network, such as 10.0.0.0/8 "   \
	         "or 2001:db8::/32: the checks of a load balancer. Their HTTP responses are not "  \
	         "counted. May be repeated, up to 16 times",                                       \
	         SET(deploy_option_add_ignored, ignore), .repeatable = true},                      \
	        {"check", "exec:COMMAND",                                                          \
	         "Let this shell command judge the new version too, in each step that is judged. " \
	         "Exit status 0: good; 1: bad, the deployment is aborted at once; any other: not " \
	         "known. A step ends only if the last check has found the version good",           \
	         SET(deploy_option_set_command, check)},                                           \
	        {"check-interval", "TIME",                                                         \
	         "Time between two checks, and between two runs of --gate that can't say "         \
	         "(default: 30s)",                                                                 \
	         SET(option_set_time, check_interval)},                                            \
	        {"gate", "exec:COMMAND",                                                           \
	         "Ask this shell command before the deployment starts, before each step comes "    \
	         "into force, and before the last one, the promotion: REUSEPORTD_EVENT is "        \
	         "before-start, before-step or before-promotion. Exit status 0: go on; 1: abort; " \
	         "any other, or "                                                                  \
	         "none within a minute (--check-interval if that is longer): ask again, at most "  \
	         "for --step-deadline, then pause. `promote` goes on without it",                  \
	         SET(deploy_option_set_command, gate)},                                            \
	        {"on-change", "exec:COMMAND",                                                      \
	         "Run this shell command when a deployment has begun, a step is in force, it "     \
	         "pauses, or it has ended. REUSEPORTD_EVENT says which",                           \
	         SET(deploy_option_set_command, on_change)},                                       \
	{                                                                                          \
		"dry-run", NULL,                                                                   \
		        "If a deployment judges the new version bad, only report it, and don't "   \
		        "abort. A worker that fails still ends the deployment",                    \
		        SET(option_set_flag, dry_run)                                              \
	}

/* The rows for a struct deploy_settings. */
extern const struct option_row deploy_options[];

/* Sets the options of @words, each NAME=VALUE, in order. NULL-terminated; may be NULL.
 * error_usage() with the first that is wrong: those before it are set. */
int deploy_option_apply(struct deploy_settings *settings, char *const *words, struct error *err);
