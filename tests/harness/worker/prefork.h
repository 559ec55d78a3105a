/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pre-fork server: the parent opens all rows, which are open in each child as well; each child
 * has a lane on one of them. The parent doesn't serve; it replaces dead children and passes signals
 * on.
 */
#pragma once

#include "rows.h"

/* Serves until SIGTERM. Returns an exit status in the parent, and doesn't return in the children.
 */
int prefork_serve(struct rows *rows);
