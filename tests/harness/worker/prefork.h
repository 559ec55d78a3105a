/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pre-fork server: the parent opens all rows, and each child has all of them open, too, and a
 * lane on one of them. The parent serves nothing; it replaces children that died and passes signals
 * on.
 */
#pragma once

#include "rows.h"

/* Serves until SIGTERM. Returns an exit status, in the parent; the children end here. */
int prefork_serve(struct rows *rows);
