/* Completions for bash, zsh and fish. */
#include <string.h>

#include "command.h"

/* Called for every option that the command takes, its own first. */
static void each_option(FILE *out, const eq_command *command,
                        void (*write)(FILE *out, const eq_command *command, const eq_option *option))
{
    for (const eq_option *option = command->options; option->heading || option->name; option++)
        if (option->name)
            write(out, command, option);
    for (const eq_option *option = eq_common_options; option->name; option++)
        if (eq_command_has(command, option))
            write(out, command, option);
}

/* The first word of a command, and whether an earlier command began with it. */
static bool first_word(int index, char *word, size_t size)
{
    snprintf(word, size, "%.*s", (int)strcspn(eq_commands[index]->name, " "), eq_commands[index]->name);
    size_t length = strlen(word);
    for (int i = 0; i < index; i++)
        if (strncmp(eq_commands[i]->name, word, length) == 0 && strchr(" ", eq_commands[i]->name[length]))
            return false;
    return true;
}

/* The second word of a command, "" if it has none. */
static const char *second_word(const eq_command *command)
{
    const char *space = strchr(command->name, ' ');
    return space ? space + 1 : "";
}

/* Whether the command's name is "GROUP ...". */
static bool in_group(const eq_command *command, const char *group)
{
    size_t length = strlen(group);
    return strncmp(command->name, group, length) == 0 && command->name[length] == ' ';
}

/* What a first word does: a command's summary, or for a group "diffusion, classifier". */
static void describe(int index, const char *word, char *text, size_t size)
{
    size_t used = 0;
    snprintf(text, size, "%s", eq_commands[index]->summary);
    if (!eq_command_is_group(word))
        return;
    for (const eq_command *const *command = eq_commands; *command; command++)
        if (in_group(*command, word) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", second_word(*command));
}

/* Called for every first word of commands of two. */
static void each_group(FILE *out, void (*write)(FILE *out, const char *group))
{
    char word[64];
    for (int i = 0; eq_commands[i]; i++)
        if (first_word(i, word, sizeof word) && eq_command_is_group(word))
            write(out, word);
}

/* Text within single quotes: `quoted` characters are escaped by a backslash as well. quote: what ' becomes. */
static void put_quoted(FILE *out, const char *text, const char *quoted, const char *quote)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs(quote, out);
        else
            fprintf(out, "%s%c", strchr(quoted, *text) ? "\\" : "", *text);
}

static void put_choices(FILE *out, const eq_option *option)
{
    for (int i = 0; option->choices && option->choices[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", option->choices[i]);
}

/* bash */

static void bash_value(FILE *out, const eq_command *command, const eq_option *option)
{
    if (option->kind == EQ_FLAG)
        return;
    fprintf(out, "    '%s --%s'", command->name, option->name);
    if (option->letter)
        fprintf(out, " | '%s -%c'", command->name, option->letter);
    fputs(") ", out);
    if (option->kind == EQ_FOLDER)
        fputs("mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); ", out);
    else if (option->kind == EQ_FILE || option->kind == EQ_FILES)
        fputs("mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); ", out);
    else if (option->kind == EQ_CHOICE) {
        fputs("mapfile -t COMPREPLY < <(compgen -W '", out);
        put_choices(out, option);
        fputs("' -- \"$current\"); ", out);
    }
    fputs("return ;;\n", out);
}

static void bash_name(FILE *out, const eq_command *command, const eq_option *option)
{
    fprintf(out, " --%s", option->name);
}

static void bash_group(FILE *out, const char *group)
{
    fprintf(out, "    %s)\n        if ((COMP_CWORD == 2)); then\n            mapfile -t COMPREPLY < <(compgen -W '",
            group);
    for (const eq_command *const *command = eq_commands; *command; command++)
        if (in_group(*command, group))
            fprintf(out, "%s ", second_word(*command));
    fputs("--help' -- \"$current\")\n            return\n        fi\n        command+=\" ${COMP_WORDS[2]}\" ;;\n", out);
}

void eq_write_bash(FILE *out)
{
    char word[64];
    fputs("# Completions of equipoise for bash.\n_equipoise()\n{\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local command=${COMP_WORDS[1]} words=\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        mapfile -t COMPREPLY < <(compgen -W '",
          out);
    for (int i = 0; eq_commands[i]; i++)
        if (first_word(i, word, sizeof word))
            fprintf(out, "%s ", word);
    fputs("--help --version' -- \"$current\")\n        return\n    fi\n    case $command in\n", out);
    each_group(out, bash_group);
    fputs("    esac\n"
          "    # --name=value arrives as three words.\n"
          "    if [[ $current == '=' ]]; then\n"
          "        current=\n"
          "    elif [[ $previous == '=' ]]; then\n"
          "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    case \"$command $previous\" in\n",
          out);
    for (const eq_command *const *command = eq_commands; *command; command++)
        each_option(out, *command, bash_value);
    fputs("    esac\n    case $command in\n", out);
    for (const eq_command *const *command = eq_commands; *command; command++) {
        fprintf(out, "    '%s') words='", (*command)->name);
        each_option(out, *command, bash_name);
        fputs("' ;;\n", out);
    }
    fputs("    esac\n    if [[ $current == -* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
          "        return\n    fi\n    case $command in\n",
          out);
    for (const eq_command *const *command = eq_commands; *command; command++)
        if ((*command)->arguments.value && (*command)->arguments.kind == EQ_FILE)
            fprintf(out, "    '%s') mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;\n", (*command)->name);
    fputs("    esac\n}\ncomplete -o filenames -F _equipoise equipoise\n", out);
}

/* zsh */

static void zsh_option(FILE *out, const eq_command *command, const eq_option *option)
{
    fputs(" \\\n            ", out);
    if (option->letter)
        fprintf(out, "'(-%c --%s)'{-%c,--%s}'", option->letter, option->name, option->letter, option->name);
    else
        fprintf(out, "'%s--%s", eq_option_repeats(option) ? "*" : "", option->name);
    fputc('[', out);
    put_quoted(out, option->help, "[]:\\", "'\\''");
    fputc(']', out);
    if (option->value) {
        fputc(':', out);
        put_quoted(out, option->value, ":\\", "'\\''");
        fputc(':', out);
    }
    if (option->kind == EQ_CHOICE) {
        fputc('(', out);
        put_choices(out, option);
        fputc(')', out);
    } else if (option->kind == EQ_FOLDER) {
        fputs("_files -/", out);
    } else if (option->kind == EQ_FILE || option->kind == EQ_FILES) {
        fputs("_files", out);
    }
    fputc('\'', out);
}

static void zsh_summary(FILE *out, const char *word, const char *summary)
{
    fprintf(out, " '%s:", word);
    put_quoted(out, summary, "", "'\\''");
    fputc('\'', out);
}

static void zsh_group(FILE *out, const char *group)
{
    fprintf(out, "    %s)\n        if ((CURRENT == 3)); then\n            names=(", group);
    for (const eq_command *const *command = eq_commands; *command; command++)
        if (in_group(*command, group))
            zsh_summary(out, second_word(*command), (*command)->summary);
    fputs(")\n            _describe -t commands command names\n            return\n        fi\n"
          "        command+=\" $words[3]\"\n        shift words\n        ((CURRENT--)) ;;\n",
          out);
}

void eq_write_zsh(FILE *out)
{
    char word[64], summary[128];
    fputs("#compdef equipoise\n# Completions of equipoise for zsh.\n_equipoise()\n{\n"
          "    local command=$words[2]\n    local -a names\n    if ((CURRENT == 2)); then\n        names=(",
          out);
    for (int i = 0; eq_commands[i]; i++)
        if (first_word(i, word, sizeof word)) {
            describe(i, word, summary, sizeof summary);
            zsh_summary(out, word, summary);
        }
    fputs(")\n        _describe -t commands command names\n        return\n    fi\n    case $command in\n", out);
    each_group(out, zsh_group);
    fputs("    esac\n    shift words\n    ((CURRENT--))\n    case $command in\n", out);
    for (const eq_command *const *command = eq_commands; *command; command++) {
        fprintf(out, "    '%s')\n        _arguments -s", (*command)->name);
        each_option(out, *command, zsh_option);
        if ((*command)->arguments.value)
            fprintf(out, " \\\n            '*:%s:%s'", (*command)->arguments.value,
                    (*command)->arguments.kind == EQ_FILE ? "_files" : "");
        fputs(" ;;\n", out);
    }
    fputs("    esac\n}\n_equipoise \"$@\"\n", out);
}

/* fish */

static void fish_description(FILE *out, const char *text)
{
    fputs(" -d '", out);
    put_quoted(out, text, "\\", "\\'");
    fputs("'\n", out);
}

static void fish_option(FILE *out, const eq_command *command, const eq_option *option)
{
    fprintf(out, "complete -c equipoise -n '__equipoise_is %s' -l %s", command->name, option->name);
    if (option->letter)
        fprintf(out, " -s %c", option->letter);
    if (option->kind == EQ_FOLDER)
        fputs(" -x -a '(__fish_complete_directories)'", out);
    else if (option->kind == EQ_FILE || option->kind == EQ_FILES)
        fputs(" -r -F", out);
    else if (option->kind != EQ_FLAG)
        fputs(" -x", out);
    if (option->kind == EQ_CHOICE) {
        fputs(" -a '", out);
        put_choices(out, option);
        fputc('\'', out);
    }
    fish_description(out, option->help);
}

static void fish_group(FILE *out, const char *group)
{
    for (const eq_command *const *command = eq_commands; *command; command++)
        if (in_group(*command, group)) {
            fprintf(out, "complete -c equipoise -n '__equipoise_is %s; and __equipoise_words 2' -a %s", group,
                    second_word(*command));
            fish_description(out, (*command)->summary);
        }
}

void eq_write_fish(FILE *out)
{
    char word[64], summary[128];
    fputs("# Completions of equipoise for fish.\n"
          "function __equipoise_words -a number\n"
          "    test (count (commandline -opc)) -eq $number\n"
          "end\n"
          "function __equipoise_is\n"
          "    set -l words (commandline -opc)\n"
          "    set -l last (math (count $argv) + 1)\n"
          "    test (count $words) -ge $last; and test \"$words[2..$last]\" = \"$argv\"\n"
          "end\n"
          "complete -c equipoise -f\n"
          "complete -c equipoise -n '__equipoise_words 1' -l help -d 'show the overview'\n"
          "complete -c equipoise -n '__equipoise_words 1' -l version -d 'show the version'\n",
          out);
    for (int i = 0; eq_commands[i]; i++)
        if (first_word(i, word, sizeof word)) {
            fprintf(out, "complete -c equipoise -n '__equipoise_words 1' -a %s", word);
            describe(i, word, summary, sizeof summary);
            fish_description(out, summary);
        }
    each_group(out, fish_group);
    for (const eq_command *const *command = eq_commands; *command; command++) {
        if ((*command)->arguments.value && (*command)->arguments.kind == EQ_FILE)
            fprintf(out, "complete -c equipoise -n '__equipoise_is %s' -F\n", (*command)->name);
        each_option(out, *command, fish_option);
    }
}
