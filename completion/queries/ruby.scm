(module name: (_) @name body: (_)? @body) @definition.module
(class name: (_) @name body: (_)? @body) @definition.class
(method name: (_) @name parameters: (_)? @head) @definition.function
(singleton_method name: (_) @name parameters: (_)? @head) @definition.function
(program (assignment left: (constant) @name) @definition.constant)
(body_statement (assignment left: (constant) @name) @definition.constant)
(call method: (identifier) @_call arguments: (argument_list (simple_symbol) @name)
  (#match? @_call "^attr_(reader|writer|accessor)$")) @definition.field

(call !receiver method: (identifier) @_call arguments: (argument_list . (string (_) @module))
  (#match? @_call "^(require|require_relative|load)$") (#set! imported "*")) @import
