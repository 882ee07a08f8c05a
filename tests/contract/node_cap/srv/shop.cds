// A small shop with every type that the SAP connector reads, annotated like SAP's own services.
using from './business-partner.json';

@path: '/shop'
service Shop {
  @readonly
  entity Orders {
    key ID          : Integer;
        @title: 'Customer' customer : Association to Customers;
        @title: 'Net amount'
        @Measures.ISOCurrency: currency
        net         : Decimal(16, 3);
        currency    : String(3);
        @Measures.Unit: unit
        quantity    : Decimal(13, 3);
        unit        : String(3);
        @title: 'Status'
        @Common.Text: statusText
        status      : String(1);
        statusText  : String(40);
        changedAt   : Timestamp;
        orderedOn   : Date;
        cutOff      : Time;
        rushed      : Boolean;
        weight      : Double;
        lines       : Int16;
        serial      : Int64;
        token       : UUID;
        tags        : many String;
  }

  @readonly
  entity Customers {
    key code : String(10);
    key region : String(2);
        name : String(80);
  }
}
