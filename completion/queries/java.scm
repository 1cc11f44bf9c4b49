(class_declaration name: (_) @name body: (_) @body) @definition.class
(record_declaration name: (_) @name body: (_) @body) @definition.class
(interface_declaration name: (_) @name body: (_) @body) @definition.interface
(annotation_type_declaration name: (_) @name body: (_) @body) @definition.interface
(enum_declaration name: (_) @name body: (_) @body) @definition.enum
(enum_constant name: (_) @name) @definition.constant
(record_declaration parameters: (formal_parameters
  (formal_parameter name: (_) @name) @definition.field))
(field_declaration declarator: (variable_declarator name: (_) @name)) @definition.field
(constant_declaration declarator: (variable_declarator name: (_) @name)) @definition.constant
(constructor_declaration name: (_) @name body: (_) @body) @definition.function
(method_declaration name: (_) @name body: (_)? @body) @definition.function
(annotation_type_element_declaration name: (_) @name) @definition.function

(import_declaration (scoped_identifier scope: (_) @module name: (_) @imported) .) @import
(import_declaration (_) @module (asterisk) @imported) @import
