(function_definition name: (_) @name body: (_) @body) @definition.function
(program (variable_assignment name: (variable_name) @name) @definition.constant)
(program (declaration_command
  (variable_assignment name: (variable_name) @name)) @definition.constant)

(command name: (command_name) @_call . argument: (_) @module
  (#any-of? @_call "source" ".") (#set! imported "*")) @import
