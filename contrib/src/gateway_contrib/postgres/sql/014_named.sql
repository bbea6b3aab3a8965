-- A grant names an instance. To ask about the instance '' is to ask about all of them.

DELETE FROM grants WHERE instance = '';
ALTER TABLE grants ADD CONSTRAINT grants_name_an_instance CHECK (instance <> '');
