; Definitions of modules and classes, and what a module imports.
(class_definition name: (identifier) @name body: (_) @body) @definition.class
(function_definition name: (identifier) @name body: (_) @body) @definition.function

(module (expression_statement
  (assignment left: (identifier) @name) @definition.constant))
(class_definition body: (block (expression_statement
  (assignment left: (identifier) @name) @definition.field)))

(import_statement name: (dotted_name) @module (#set! alias "first")) @import
(import_statement name: (aliased_import name: (dotted_name) @module alias: (identifier) @alias)) @import
(import_from_statement module_name: (_) @module name: (dotted_name) @imported) @import
(import_from_statement module_name: (_) @module
  name: (aliased_import name: (dotted_name) @imported alias: (identifier) @alias)) @import
(import_from_statement module_name: (_) @module (wildcard_import) @imported) @import
(decorated_definition definition: (_) @inner) @outer
