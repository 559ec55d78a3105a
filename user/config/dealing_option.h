/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of the options that fill a struct dealing, for each command that has them. @base: the
 * offset of the struct dealing. */
#pragma once

#include <stddef.h>
#include <reuseportd/abi.h>

#include "config/option.h"
#include "core/dealing.h"

#define DEALING_OPTION_POLICY(base)                                                                \
	{                                                                                          \
		"policy", "POLICY",                                                                \
		        "How the kernel picks a worker. round-robin: exactly evenly; "             \
		        "sticky: each client keeps its worker; least-connections: of the next "    \
		        "workers in the "                                                          \
		        "ring, the one with the fewest connections for its weight (default: "      \
		        "round-robin)",                                                            \
		        option_set_policy, (base) + offsetof(struct dealing, policy)               \
	}

/* @number and @time: end the texts of a number and of a time. */
#define DEALING_OPTION_REST(base, number, time)                                                    \
	{"choices",                                                                                \
	 "N",                                                                                      \
	 "With least-connections: compare N workers for each connection, 2 to 8" number,           \
	 option_set_number,                                                                        \
	 (base) + offsetof(struct dealing, choices),                                               \
	 .min = RPD_CHOICES_MIN,                                                                   \
	 .max = RPD_CHOICES_MAX},                                                                  \
	        {"slow-start", "TIME",                                                             \
	         "With least-connections: for TIME after its admission, a worker gets "            \
	         "connections only "                                                               \
	         "when its own turn has come, and its weight counts less: a tenth at first, and "  \
	         "more "                                                                           \
	         "with time" time,                                                                 \
	         option_set_time, (base) + offsetof(struct dealing, slow_start)},                  \
	{                                                                                          \
		"skip-stuck", "TIME",                                                              \
		        "Skip a worker that accepts no connection for TIME although some wait "    \
		        "for it, or if its accept queue is full: other workers of its version, "   \
		        "or of its canary, take its turns until it accepts again. A worker that "  \
		        "computes for longer than TIME loses turns as "                            \
		        "well" time,                                                               \
		        option_set_time, (base) + offsetof(struct dealing, skip_stuck)             \
	}
