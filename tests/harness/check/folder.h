/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder for the files of a case, in memory. */
#pragma once

/* The path of the case's folder, which is made by the first call, empty and with mode 0755, and
 * removed with all that is in it when the case ends. Fails the case if it cannot be made. */
const char *folder_path(void);
