/* Models of several files: opening them on the publisher's side, and putting them into a folder
 * on the device. */
#ifndef EMK_CLI_TREE_H
#define EMK_CLI_TREE_H

#include "cli/command.h"
#include "core/pack/tree.h"
#include "device/client/client.h"

/* Opens what the operands name; says which path a failure is about.  End with emk_tree_done, which
 * is fine for an all-zero tree.  *out must stay where it is. */
emk_status emk_cli_tree_open(emk_cli *cli, emk_tree *out) EMK_MUST_CHECK;

/* Writes the files of an opened model below the open folder `dir`, which is empty.  After a
 * failure, also a signal to end, nothing of it is left.  Signals must be held
 * (cli/os_child.h). */
emk_status emk_cli_tree_write(emk_cli *cli, const emk_opened *o, int dir) EMK_MUST_CHECK;
/* One file of a model as a line, or in JSON as an object, of a list that is open. */
void emk_cli_tree_show_file(emk_cli_out *o, emk_span path, uint64_t length, const char *format);

#endif
