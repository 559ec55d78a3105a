/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port of Node's inspector (--inspect, --inspect-brk and the like, as an option of node or in
 * NODE_OPTIONS). Each worker gets one of its own, as from Node's cluster: the port that is given,
 * or 9229, plus the slot.
 */
#pragma once

#include <stdint.h>

/*
 * The port of the inspector of slot @slot, or 0 if it has none: nothing asks for an inspector, the
 * kernel chooses the port (0), or it would be larger than 65535. @argv: the command, which counts
 * if it is node or tsx. @options: the value of NODE_OPTIONS, or NULL.
 */
uint16_t node_inspect_port(char *const *argv, const char *options, unsigned int slot);

/* Changes the command and *options (may be NULL), which the caller owns, so that the worker of
 * @slot opens that port. Returns 0 or -ENOMEM. */
int node_inspect_set_port(char **argv, char **options, unsigned int slot);
