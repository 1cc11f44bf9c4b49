(function_declaration name: (identifier) @name parameters: (_) @head) @definition.function
(function_declaration name: (dot_index_expression table: (_) @owner field: (_) @name)
  parameters: (_) @head) @definition.function
(function_declaration name: (method_index_expression table: (_) @owner method: (_) @name)
  parameters: (_) @head) @definition.function
(assignment_statement
  (variable_list . name: (dot_index_expression table: (_) @owner field: (_) @name))
  (expression_list . value: (function_definition parameters: (_) @head))) @definition.function
(chunk (variable_declaration
  (assignment_statement (variable_list . name: (identifier) @name))) @definition.constant)
(chunk (assignment_statement (variable_list . name: (identifier) @name)) @definition.constant)

(assignment_statement (variable_list . name: (identifier) @alias)
  (expression_list . value: (function_call
    name: (identifier) @_call arguments: (arguments (string (_) @module))))
  (#eq? @_call "require")) @import
