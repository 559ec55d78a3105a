/* SPDX-License-Identifier: BSD-2-Clause */
/* Networks of clients, as users write them: 10.0.0.0/8, 2001:db8::/32, or an address. Pure. */
#pragma once

#include <reuseportd/ignored_abi.h>

/* Returns 0, or -EINVAL. Bits beyond the prefix don't matter. */
int client_net_parse(const char *text, struct rpd_net *ret);
