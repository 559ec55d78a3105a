/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses that a reload has dropped, and that other endpoints cover: 0.0.0.0 where the new
 * workers listen on [::]. While old workers have listeners there, the kernel prefers these. Until
 * they are gone, new connections are led on to the new workers (kern/detour.h).
 *
 * A later supervisor does not know such addresses: the old workers get connections there again.
 */
#pragma once

#include "service/service.h"
#include "supervise/types.h"

/* Leads connections to @endpoint on, which is about to be removed from the service. Reports it if
 * that fails. The service must be locked. */
void dropped_address_add(struct supervisor *sup, struct service *service, unsigned int endpoint);

/* Forgets addresses where no worker listens any more, or some worker or other program is to get
 * connections again. */
void dropped_address_update(struct supervisor *sup);

/* Forgets all of them. */
void dropped_address_end(struct supervisor *sup);
