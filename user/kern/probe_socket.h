/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's side of a probe: a socket of ours that connects to an endpoint from this host, from
 * an address that is known in advance, for the map of the steering program (kern/steer_probes.h).
 */
#pragma once

#include <reuseportd/abi.h>

/* Opens a socket, bound to the address and port that it will connect from; *ret_source has them as
 * the steering program will see them. Returns the socket, which the caller closes. -EOPNOTSUPP if
 * the endpoint is bound to a device: it can't be reached from this host. */
int probe_socket_open(const struct rpd_endpoint *endpoint, struct rpd_probe *ret_source);

/* Begins to connect @fd to the endpoint. Returns 0 if it is connected, -EINPROGRESS if not yet. */
int probe_socket_connect(const struct rpd_endpoint *endpoint, int fd);

/* Connects @fd, waits until that is done, and closes it. */
void probe_socket_knock(const struct rpd_endpoint *endpoint, int fd);
