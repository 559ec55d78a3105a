/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of the policies. */
#pragma once

#include <reuseportd/abi.h>

/* For messages. */
#define POLICY_NAMES "round-robin, sticky or least-connections"

/* Parses "round-robin", "sticky" or "least-connections". -EINVAL if it is none of them. */
int policy_parse(const char *text, enum rpd_policy *ret);

const char *policy_name(enum rpd_policy policy);
